package membercardtest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// validForBrand returns the valid request of an operation in the brand edition.
func validForBrand(server *membercardtest.Server, operation membercard.Operation) *message {
	all := validMessages(server)
	at := slices.IndexFunc(all, func(m *message) bool { return m.operation == operation })
	return all[at].forBrand(server.Config().PublicKeyID)
}

// TestTheBrandEditionIsStrict: what belongs to the other edition is refused.
func TestTheBrandEditionIsStrict(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithBrandEdition(), membercardtest.AllowViolations())
	for says, spoil := range map[string]func(*message){
		"the page does not define the parameter /query/brand_id": func(m *message) { m.query = append(m.query, member{"brand_id", brandID}) },
		"Wechatpay-Serial is missing":                            func(m *message) { m.header.Del("Wechatpay-Serial") },
		"is not the id of the brand's WeChat Pay public key":     func(m *message) { m.header.Set("Wechatpay-Serial", "PUB_KEY_ID_9") },
		"no operation has this path": func(m *message) {
			m.path = []member{{"", "v3"}, {"", "brand"}, {"", "partner"}, {"", "card-member"}, {"", "cards"}}
		},
		"the scheme of Authorization must be WECHATPAY-BRAND-SHA256-RSA2048": func(m *message) {
			m.authorize = func(items map[string]string) string {
				return strings.Replace(authorization(items), "WECHATPAY-BRAND", "WECHATPAY2", 1)
			}
		},
		"the item brand_id of Authorization is missing": func(m *message) {
			m.authorize = func(items map[string]string) string {
				return strings.Replace(authorization(items), "brand_id", "mchid", 1)
			}
		},
	} {
		m := validForBrand(server, membercard.OperationListCards)
		spoil(m)
		status, _ := m.send(t, server)
		assert.GreaterOrEqual(t, status, 400, says)
		assert.Contains(t, lastReason(server), says)
	}
	status, _ := validForBrand(server, membercard.OperationListCards).send(t, server)
	assert.Equal(t, 200, status)
}

// TestIDsOfABrandsKeys have 32 digits, before a rotation and after it.
func TestIDsOfABrandsKeys(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithBrandEdition())
	_, before := server.PublicKey()
	server.RotateKey()
	_, after := server.PublicKey()
	assert.NotEqual(t, before, after)
	for _, id := range []string{before, after} {
		assert.Regexp(t, `^PUB_KEY_ID_\d{32}$`, id)
	}
}

// TestARefusedKeyIDStaysRefused: the same signature with the right id is the same request, and was answered.
func TestARefusedKeyIDStaysRefused(t *testing.T) {
	t.Parallel()
	server := newServer(t, membercardtest.WithBrandEdition(), membercardtest.AllowViolations())
	m := validForBrand(server, membercard.OperationInvalidateUserCard)
	signed := ""
	m.authorize = func(items map[string]string) string {
		if signed == "" {
			signed = authorization(items)
		}
		return signed
	}
	for _, id := range []string{"PUB_KEY_ID_9", server.Config().PublicKeyID} {
		m.header.Set("Wechatpay-Serial", id)
		status, _ := m.send(t, server)
		assert.Equal(t, 400, status, id)
	}
	assert.Zero(t, server.AllEffects())
	signed = ""
	status, _ := m.send(t, server)
	assert.Equal(t, 200, status)
}
