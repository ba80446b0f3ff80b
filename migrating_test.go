package membercard_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/option"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"

	"github.com/wechatpay-cards/membercard"
)

// All sides of MIGRATING.md. They are run against the fake.

// With wechatpay-go's core client.
func changeWithCore(ctx context.Context, client *core.Client, publicKey *rsa.PublicKey, publicKeyID string) (string, error) {
	phone, err := utils.EncryptOAEPWithPublicKey("13900000000", publicKey)
	if err != nil {
		return "", err
	}
	result, err := client.Request(ctx, http.MethodPatch,
		"https://api.mch.weixin.qq.com/v3/brand/partner/card-member/user-cards/"+url.PathEscape("478515832665"),
		http.Header{"Wechatpay-Serial": {publicKeyID}},
		nil,
		map[string]any{
			"card_id": "pbLatjvWOibDc5-TBnbUk1pD12o0", "brand_id": "1004", "openid": "obLatjnx9gnqzS4myYGmLZ7LgLBA",
			"level": "钻石会员", "phone_number": phone,
		}, "application/json")
	if err != nil {
		return "", err
	}
	defer result.Response.Body.Close()
	var card struct {
		Level string `json:"level"`
	}
	if err := json.NewDecoder(result.Response.Body).Decode(&card); err != nil {
		return "", err
	}
	return card.Level, nil
}

// In the way of the samples on the official pages, on a utility that signs, verifies and encrypts.
func changeAsOnThePages(m *merchant) (string, error) {
	phone, err := m.encrypt("13900000000")
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(&changeRequest{
		CardID: new("pbLatjvWOibDc5-TBnbUk1pD12o0"), BrandID: new("1004"), OpenID: new("obLatjnx9gnqzS4myYGmLZ7LgLBA"),
		Level: new("钻石会员"), PhoneNumber: new(phone),
	})
	if err != nil {
		return "", err
	}
	uri := "/v3/brand/partner/card-member/user-cards/" + url.PathEscape("478515832665")
	request, err := http.NewRequest(http.MethodPatch, "https://api.mch.weixin.qq.com"+uri, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Wechatpay-Serial", m.publicKeyID)
	request.Header.Set("Authorization", m.authorization(http.MethodPatch, uri, body))
	response, err := m.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return "", fmt.Errorf("%d: %s", response.StatusCode, answer)
	}
	if err := m.verify(response.Header, answer); err != nil {
		return "", err
	}
	var card struct {
		Level *string `json:"level"`
	}
	if err := json.Unmarshal(answer, &card); err != nil {
		return "", err
	}
	return *card.Level, nil
}

// With this SDK.
func change(ctx context.Context, client *membercard.Client) (string, error) {
	card, err := client.UpdateUserCard(ctx, membercard.UpdateUserCardRequest{
		BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0",
		UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
		Level: new("钻石会员"), PhoneNumber: membercard.NewSensitive("13900000000"),
	})
	if err != nil {
		return "", err
	}
	return card.Level, nil
}

// changeRequest is a body as the pages' samples declare it.
type changeRequest struct {
	CardID      *string `json:"card_id,omitempty"`
	BrandID     *string `json:"brand_id,omitempty"`
	OpenID      *string `json:"openid,omitempty"`
	Level       *string `json:"level,omitempty"`
	PhoneNumber *string `json:"phone_number,omitempty"`
}

// merchant is such a utility.
type merchant struct {
	config      membercard.Config
	publicKeyID string
	client      *http.Client
}

func (m *merchant) encrypt(plaintext string) (string, error) {
	data, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, m.config.PublicKey, []byte(plaintext), nil)
	return base64.StdEncoding.EncodeToString(data), err
}

func (m *merchant) authorization(method, uri string, body []byte) string {
	timestamp, nonce := strconv.FormatInt(time.Now().Unix(), 10), rand.Text()
	digest := sha256.Sum256([]byte(method + "\n" + uri + "\n" + timestamp + "\n" + nonce + "\n" + string(body) + "\n"))
	signature, err := m.config.PrivateKey.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`WECHATPAY2-SHA256-RSA2048 mchid="%s",nonce_str="%s",timestamp="%s",serial_no="%s",signature="%s"`,
		m.config.MchID, nonce, timestamp, m.config.CertificateSerial, base64.StdEncoding.EncodeToString(signature))
}

func (m *merchant) verify(header http.Header, body []byte) error {
	signature, err := base64.StdEncoding.DecodeString(header.Get("Wechatpay-Signature"))
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(header.Get("Wechatpay-Timestamp") + "\n" + header.Get("Wechatpay-Nonce") + "\n" + string(body) + "\n"))
	return rsa.VerifyPKCS1v15(m.config.PublicKey, crypto.SHA256, digest[:], signature)
}

func newOfficialClient(ctx context.Context, config membercard.Config) (*core.Client, error) {
	return core.NewClient(ctx,
		option.WithWechatPayPublicKeyAuthCipher(
			config.MchID, config.CertificateSerial, config.PrivateKey.(*rsa.PrivateKey), config.PublicKeyID, config.PublicKey),
		option.WithHTTPClient(&http.Client{Transport: config.HTTPClient.Transport}),
	)
}

// TestMigrating: all do the same.
func TestMigrating(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(membercard.Config) (string, error){
		"wechatpay-go": func(config membercard.Config) (string, error) {
			client, err := newOfficialClient(t.Context(), config)
			require.NoError(t, err)
			return changeWithCore(t.Context(), client, config.PublicKey, config.PublicKeyID)
		},
		"the pages": func(config membercard.Config) (string, error) {
			return changeAsOnThePages(&merchant{config: config, publicKeyID: config.PublicKeyID, client: config.HTTPClient})
		},
		"membercard": func(config membercard.Config) (string, error) {
			client, err := membercard.New(config)
			require.NoError(t, err)
			return change(t.Context(), client)
		},
	} {
		server := newServer(t)
		level, err := change(server.Config())
		require.NoError(t, err, name)
		assert.Equal(t, "钻石会员", level, name)
		opened, err := server.Client().Decrypt(userCard(server, userCardCode).PhoneNumber)
		require.NoError(t, err)
		assert.Equal(t, "13900000000", opened, name)
		assert.Equal(t, 1, server.Effects(membercard.OperationUpdateUserCard, userCardCode), name)
	}
}
