package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-pay/gopay/pkg/xhttp"
	gopay "github.com/go-pay/gopay/wechat/v3"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/option"

	"github.com/wechatpay-cards/membercard"
)

const (
	mchID     = "1900009191"
	serial    = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
	keyID     = "PUB_KEY_ID_0119000091912026112200000000000001"
	apiv3Key  = "0123456789abcdefghijklmnopqrstuv"
	brandID   = "1004"
	cardID    = "pbLatjvWOibDc5-TBnbUk1pD12o0"
	openID    = "obLatjnx9gnqzS4myYGmLZ7LgLBA"
	code      = "478515832665"
	phone     = "13800000000"
	uri       = "/v3/brand/partner/card-member/user-cards/" + code + "?brand_id=" + brandID + "&card_id=" + cardID + "&openid=" + openID
	updateURI = "/v3/brand/partner/card-member/user-cards/" + code + "?card_id=" + cardID
)

// keys are made when the program starts.
type keys struct{ merchant, platform *rsa.PrivateKey }

// countingKey counts what is done with the merchant's private key.
type countingKey struct {
	*rsa.PrivateKey
	operations atomic.Int64
}

func (k *countingKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.operations.Add(1)
	return k.PrivateKey.Sign(random, digest, opts)
}

func (k *countingKey) Decrypt(random io.Reader, data []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	k.operations.Add(1)
	return k.PrivateKey.Decrypt(random, data, opts)
}

// answer is what every GetUserCard gets: one card with three encrypted values, as the official page shows it,
// signed beforehand.
type answer struct {
	body   []byte
	header http.Header
}

func newAnswer(k *keys) (*answer, error) {
	encrypt := func(text string) string {
		data, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, &k.merchant.PublicKey, []byte(text), nil)
		if err != nil {
			panic(err)
		}
		return base64.StdEncoding.EncodeToString(data)
	}
	when := "2020-05-20T13:29:35.120+08:00"
	body, err := json.Marshal(map[string]any{
		"user_card_code": code, "card_id": cardID, "openid": openID, "card_color": "#FFFF00",
		"card_picture_url": "https://wxpaylogo.qpic.cn/wxpaylogo/PiajxSqBRaEIPAeia7Imvtsn7sYGNcEj33YzVvJF88ECQ19LXId8ZL2Q/0",
		"brand_id":         brandID, "card_type": "NORMAL", "phone_number": encrypt(phone), "level": "钻石会员",
		"valid_date_information": map[string]any{"type": "PERMANENT"}, "pickup_time": when, "attach": "brand_data",
		"user_information": map[string]any{
			"common_field_list": []any{map[string]any{"name": "USER_FORM_FLAG_SEX", "value": encrypt("男")}},
			"custom_field_list": []any{map[string]any{"name": "喜欢的运动", "user_chosen_values": []string{encrypt("足球")}}},
		},
		"user_card_state": "EFFECTIVE", "create_time": when, "modify_time": when,
	})
	if err != nil {
		return nil, err
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	digest := sha256.Sum256([]byte(timestamp + "\nc5ac7061fccab6bf3e254dcf98995b8c\n" + string(body) + "\n"))
	signature, err := rsa.SignPKCS1v15(nil, k.platform, crypto.SHA256, digest[:])
	if err != nil {
		return nil, err
	}
	return &answer{body: body, header: http.Header{
		"Content-Type": {"application/json; charset=utf-8"}, "Request-Id": {"8C8CD84C606104018CFB0BCA801200228E69801-0"},
		"Wechatpay-Timestamp": {timestamp}, "Wechatpay-Nonce": {"c5ac7061fccab6bf3e254dcf98995b8c"}, "Wechatpay-Serial": {keyID},
		"Wechatpay-Signature": {base64.StdEncoding.EncodeToString(signature)}, "Wechatpay-Signature-Type": {"WECHATPAY2-SHA256-RSA2048"},
	}}, nil
}

// RoundTrip answers in memory.
func (a *answer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: a.header, Request: r,
		Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)),
	}, nil
}

// ServeHTTP answers over a socket.
func (a *answer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	for name, values := range a.header {
		w.Header()[name] = values
	}
	_, _ = w.Write(a.body)
}

// contender makes one call and returns what it read.
type contender struct {
	name   string
	call   func(context.Context) (result, error)
	opened bool // whether the phone number is in the result
}

// result is compared before anything is timed.
type result struct{ state, openID, phone string }

// decoded is the card of whoever decodes by hand: plain fields, ciphertexts as they came.
type decoded struct {
	UserCardCode         string `json:"user_card_code"`
	CardID               string `json:"card_id"`
	OpenID               string `json:"openid"`
	CardColor            string `json:"card_color"`
	CardPictureURL       string `json:"card_picture_url"`
	BrandID              string `json:"brand_id"`
	CardType             string `json:"card_type"`
	PhoneNumber          string `json:"phone_number" encryption:"EM_APIV3"`
	Level                string `json:"level"`
	ValidDateInformation struct {
		Type string `json:"type"`
	} `json:"valid_date_information"`
	PickupTime      time.Time        `json:"pickup_time"`
	UserInformation *decodedUserInfo `json:"user_information"`
	Attach          string           `json:"attach"`
	UserCardState   string           `json:"user_card_state"`
	CreateTime      time.Time        `json:"create_time"`
	ModifyTime      time.Time        `json:"modify_time"`
}

type decodedUserInfo struct {
	CommonFieldList []struct {
		Name  string `json:"name"`
		Value string `json:"value" encryption:"EM_APIV3"`
	} `json:"common_field_list"`
	CustomFieldList []struct {
		Name             string   `json:"name"`
		UserChosenValues []string `json:"user_chosen_values" encryption:"EM_APIV3"`
	} `json:"custom_field_list"`
}

// floor is what cannot be left out, by hand on the standard library: sign, send, read, verify, decode.
func floor(k *keys, client *http.Client, base string) contender {
	return contender{"floor: bench/contenders.go, func floor", func(ctx context.Context) (result, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+uri, nil)
		if err != nil {
			return result{}, err
		}
		nonce, timestamp := rand.Text(), strconv.FormatInt(time.Now().Unix(), 10)
		digest := sha256.Sum256([]byte("GET\n" + request.URL.RequestURI() + "\n" + timestamp + "\n" + nonce + "\n\n"))
		signature, err := rsa.SignPKCS1v15(nil, k.merchant, crypto.SHA256, digest[:])
		if err != nil {
			return result{}, err
		}
		request.Header.Set("Authorization", `WECHATPAY2-SHA256-RSA2048 mchid="`+mchID+`",nonce_str="`+nonce+`",signature="`+
			base64.StdEncoding.EncodeToString(signature)+`",timestamp="`+timestamp+`",serial_no="`+serial+`"`)
		request.Header.Set("Accept", "application/json")
		request.Header.Set("Wechatpay-Serial", keyID)
		response, err := client.Do(request)
		if err != nil {
			return result{}, err
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			return result{}, err
		}
		if err := verifyByHand(k, response.Header, body); err != nil {
			return result{}, err
		}
		var card decoded
		if err := json.Unmarshal(body, &card); err != nil {
			return result{}, err
		}
		return result{card.UserCardState, card.OpenID, ""}, nil
	}, false}
}

func verifyByHand(k *keys, header http.Header, body []byte) error {
	timestamp := header.Get("Wechatpay-Timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute || header.Get("Wechatpay-Serial") != keyID {
		return errors.New("untrusted")
	}
	signature, err := base64.StdEncoding.DecodeString(header.Get("Wechatpay-Signature"))
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(timestamp + "\n" + header.Get("Wechatpay-Nonce") + "\n" + string(body) + "\n"))
	return rsa.VerifyPKCS1v15(&k.platform.PublicKey, crypto.SHA256, digest[:], signature)
}

// ours decrypts so many of the card's three encrypted values.
func ours(client *membercard.Client, open int) contender {
	name := "membercard, nothing decrypted"
	if open > 0 {
		name = fmt.Sprintf("membercard, %d decrypted", open)
	}
	return contender{name, func(ctx context.Context) (result, error) {
		card, err := client.GetUserCard(ctx, membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID})
		if err != nil {
			return result{}, err
		}
		r := result{string(card.UserCardState), card.OpenID, ""}
		encrypted := []membercard.Sensitive{
			card.PhoneNumber, card.UserInformation.CommonFieldList[0].Value, card.UserInformation.CustomFieldList[0].UserChosenValues[0],
		}
		for i := range open {
			text, err := client.Decrypt(encrypted[i])
			if err != nil {
				return result{}, err
			}
			if i == 0 {
				r.phone = text
			}
		}
		return r, nil
	}, open > 0}
}

func newOurs(k *keys, key crypto.Signer, client *http.Client, base string) *membercard.Client {
	c, err := membercard.New(membercard.Config{
		MchID: mchID, CertificateSerial: serial, PrivateKey: key, PublicKeyID: keyID, PublicKey: &k.platform.PublicKey,
		BaseURL: base, HTTPClient: client,
	})
	if err != nil {
		panic(err)
	}
	return c
}

// official is wechatpay-go's core client, which decrypts all values or none.
func official(k *keys, client *http.Client, base string, open bool) contender {
	options := []core.ClientOption{option.WithWechatPayPublicKeyAuthCipher(mchID, serial, k.merchant, keyID, &k.platform.PublicKey)}
	options = append(options, option.WithHTTPClient(client))
	c, err := core.NewClient(context.Background(), options...)
	if err != nil {
		panic(err)
	}
	name := "wechatpay-go, nothing decrypted"
	if open {
		name = "wechatpay-go, 3 decrypted by its cipher"
	}
	return contender{name, func(ctx context.Context) (result, error) {
		answered, err := c.Get(ctx, base+uri)
		if err != nil {
			return result{}, err
		}
		var card decoded
		if err := core.UnMarshalResponse(answered.Response, &card); err != nil {
			return result{}, err
		}
		if !open {
			return result{card.UserCardState, card.OpenID, ""}, nil
		}
		if err := c.DecryptResponse(ctx, &card); err != nil {
			return result{}, err
		}
		return result{card.UserCardState, card.OpenID, card.PhoneNumber}, nil
	}, open}
}

// other is gopay. It has no call for member cards, so it queries an order; the same answer is decoded into
// its own type, which knows fewer of the fields.
func other(k *keys, client *http.Client, base string) contender {
	der, err := x509.MarshalPKCS8PrivateKey(k.merchant)
	if err != nil {
		panic(err)
	}
	c, err := gopay.NewClientV3(mchID, serial, apiv3Key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	if err != nil {
		panic(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&k.platform.PublicKey)
	if err != nil {
		panic(err)
	}
	if err := c.AutoVerifySignByPublicKey(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), keyID); err != nil {
		panic(err)
	}
	c.SetProxyHost(base)
	h := xhttp.NewClient()
	h.HttpClient = client
	c.SetHttpClient(h)
	return contender{"gopay, an order's query", func(ctx context.Context) (result, error) {
		answered, err := c.V3TransactionQueryOrder(ctx, gopay.OutTradeNo, "1217752501201407033233368018")
		if err != nil {
			return result{}, err
		}
		if answered.Code != gopay.Success || !strings.Contains(answered.SignInfo.SignBody, openID) {
			return result{}, errors.New("another answer")
		}
		return result{"EFFECTIVE", openID, ""}, nil
	}, false}
}
