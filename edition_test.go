package membercard_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestEditions: the same program runs in both editions with nothing changed but its Config. What an edition lacks is refused
// before it is sent.
func TestEditions(t *testing.T) {
	t.Parallel()
	inEditions(t, func(t *testing.T, edition edition) {
		for _, operation := range membercard.Operations() {
			server := newServer(t, edition.options...)
			_, err := do(t.Context(), server.Client(), table[operation.Name].request)
			if edition.has(operation.Name) {
				require.NoError(t, err, operation.Name)
				require.Len(t, server.Requests(), 1)
				continue
			}
			require.ErrorIs(t, err, membercard.ErrInvalidParameter, operation.Name)
			require.ErrorContains(t, err, "the brand edition has no "+string(operation.Name))
			assert.Empty(t, server.Requests())
		}
	})
}

// TestTheBrandOfARequest is the client's, or left out.
func TestTheBrandOfARequest(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithBrandEdition())
	client := server.Client()
	for _, brand := range []string{"", membercardtest.BrandID} {
		card, err := client.GetUserCard(t.Context(), membercard.GetUserCardRequest{BrandID: brand, CardID: cardID, UserCardCode: userCardCode, OpenID: openID})
		require.NoError(t, err)
		assert.Equal(t, membercardtest.BrandID, card.BrandID)
	}
	_, err := client.GetUserCard(t.Context(), membercard.GetUserCardRequest{BrandID: "1005", CardID: cardID, UserCardCode: userCardCode, OpenID: openID})
	require.ErrorIs(t, err, membercard.ErrInvalidParameter)
	require.ErrorContains(t, err, "BrandID (brand_id) is not that of the client")
	assert.Len(t, server.Requests(), 2)
	assert.Equal(t, "membercard.Client{BrandID: 1004}", fmt.Sprint(client))
}

// TestCheckOfABrand: one page of templates proves the keys.
func TestCheckOfABrand(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithBrandEdition(), membercardtest.AllowViolations())
	findings := func(change func(*membercard.Config)) string {
		var text strings.Builder
		for _, finding := range newClient(t, server, change).Check(t.Context()) {
			text.WriteString(finding.String() + "\n")
		}
		return text.String()
	}
	healthy := findings(func(*membercard.Config) {})
	assert.Contains(t, healthy, "ok      service: accepts the signature of BrandID and PrivateKey")
	assert.Contains(t, healthy, "ok      PublicKey: verifies what WeChat Pay signs")
	assert.Contains(t, healthy, "untried APIv3Key: has the right length")
	assert.Contains(t, healthy, "untried encryption: SecurityEcho: the brand edition has no SecurityEcho")
	assert.NotContains(t, healthy, "PROBLEM")
	assert.Len(t, server.Requests(), 1)
	assert.Equal(t, "/brand/card-member/cards?offset=0&limit=1", server.Requests()[0].RequestURI)
	assert.Contains(t, findings(func(c *membercard.Config) {
		c.Throttle = func(context.Context, membercard.Operation) error { return errors.New("redis is away") }
	}), "PROBLEM Throttle: ListCards: not sent: Config.Throttle: redis is away\n")
	assert.Contains(t, findings(func(c *membercard.Config) { c.BrandID = "1005" }), "PROBLEM service: ListCards: 401 SIGN_ERROR")
	assert.Contains(t, findings(func(c *membercard.Config) { c.PublicKeyID = "PUB_KEY_ID_0" }), `PROBLEM PublicKey: WeChat Pay signs with "`+server.Config().PublicKeyID)
}

// TestABrandHasNoCertificates: an answer that names one is not believed, and nothing is downloaded for it.
func TestABrandHasNoCertificates(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithBrandEdition())
	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultUnknownSerial, Serial: "5157F09EFDC096DE15EBE81A47057A7232F1B8E9"})
	_, err := server.Client().ListCards(t.Context(), listCardsRequest)
	require.ErrorIs(t, err, membercard.ErrSignature)
	require.ErrorContains(t, err, "there are no platform certificates for brands")
	assert.Len(t, server.Requests(), 1)
}

// TestKeysOfTheOtherEdition do not work: each edition has its own.
func TestKeysOfTheOtherEdition(t *testing.T) {
	t.Parallel()
	provider := newServer(t).Config()
	for name, mixUp := range map[string]func(*membercard.Config){
		"certificate": func(c *membercard.Config) {
			c.PrivateKey, c.CertificateSerial = provider.PrivateKey, provider.CertificateSerial
		},
		"public key": func(c *membercard.Config) { c.PublicKey, c.PublicKeyID = provider.PublicKey, provider.PublicKeyID },
	} {
		server := newServer(t, membercardtest.WithBrandEdition(), membercardtest.AllowViolations())
		_, err := newClient(t, server, mixUp).GetUserCard(t.Context(), getRequest)
		require.Error(t, err, name)
	}
	server := newServer(t, membercardtest.WithBrandEdition())
	notification := server.NotificationRequest(&membercard.PointsSyncRequested{CardID: cardID, OpenID: openID, UserCardCode: userCardCode})
	_, err := newClient(t, server, func(c *membercard.Config) { c.APIv3Key = provider.APIv3Key }).ParseNotification(notification)
	require.ErrorContains(t, err, "it does not decrypt with the APIv3 key")
}

// TestAnIndependentBrandServer: a server that knows nothing but the sheet of the edition accepts every request.
func TestAnIndependentBrandServer(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithBrandEdition())
	merchant := &server.Config().PrivateKey.(*rsa.PrivateKey).PublicKey
	authorization := regexp.MustCompile(`^WECHATPAY-BRAND-SHA256-RSA2048 (?:(?:brand_id="1004"|nonce_str="([0-9A-Za-z]{16,32})"|signature="([0-9A-Za-z+/=]+)"|timestamp="(\d+)"|serial_no="5157F09EFDC096DE15EBE81A47057A7232F1B8B1")(?:,|$)){5}$`)
	there := 0
	for operation, known := range table {
		row := known.brand
		if row == (brandCase{}) {
			continue
		}
		there++
		var sent *http.Request
		var body []byte
		client := newClient(t, server, noRetries, withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			sent = r
			if r.Body != nil {
				body, _ = io.ReadAll(r.Body)
			}
			return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: http.NoBody}, nil
		})))
		_, err := do(t.Context(), client, table[operation].request)
		require.Error(t, err)
		require.NotNil(t, sent, operation)

		assert.Equal(t, row.method, sent.Method, operation)
		assert.Equal(t, "/brand/card-member"+row.path, sent.URL.Path, operation)
		assert.ElementsMatch(t, strings.Fields(row.query), slices.Collect(maps.Keys(sent.URL.Query())), operation)
		assert.Equal(t, server.Config().PublicKeyID, sent.Header.Get("Wechatpay-Serial"), operation)
		assert.Equal(t, "application/json", sent.Header.Get("Accept"), operation)
		signed := body
		contentType, boundary, _ := mime.ParseMediaType(sent.Header.Get("Content-Type"))
		switch {
		case row.members == "":
			assert.Empty(t, body, operation)
			assert.Empty(t, sent.Header.Values("Content-Type"), operation)
		case operation == membercard.OperationUploadImage:
			assert.Equal(t, "multipart/form-data", contentType)
			form, err := multipart.NewReader(bytes.NewReader(body), boundary["boundary"]).ReadForm(1 << 20)
			require.NoError(t, err)
			signed = []byte(form.Value["meta"][0])
			digest := sha256.Sum256(picture)
			assert.Contains(t, string(signed), `"file_digest":"`+hex.EncodeToString(digest[:])+`"`)
		default:
			assert.Equal(t, "application/json", contentType, operation)
		}
		if row.members != "" {
			var members map[string]any
			require.NoError(t, json.Unmarshal(signed, &members), operation)
			assert.ElementsMatch(t, strings.Fields(row.members), slices.Collect(maps.Keys(members)), operation)
		}
		items := authorization.FindStringSubmatch(sent.Header.Get("Authorization"))
		require.NotNil(t, items, sent.Header.Get("Authorization"))
		signature, err := base64.StdEncoding.DecodeString(items[2])
		require.NoError(t, err)
		digest := sha256.Sum256([]byte(sent.Method + "\n" + sent.URL.RequestURI() + "\n" + items[3] + "\n" + items[1] + "\n" + string(signed) + "\n"))
		require.NoError(t, rsa.VerifyPKCS1v15(merchant, crypto.SHA256, digest[:], signature), operation)
	}
	assert.Equal(t, 16, there)
}
