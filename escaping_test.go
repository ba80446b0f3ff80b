package membercard_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

// TestCodesWithPunctuation: a card code may hold any half-width punctuation. It is escaped once, and
// what is signed is what is sent, in memory and through a socket.
func TestCodesWithPunctuation(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	overSocket := newClient(t, server, func(c *membercard.Config) {
		c.BaseURL, c.HTTPClient = server.Start(), nil
	})
	codes := []string{"A/B#1", "50%25+&?=", `a"b\c'd`, "~!@$^*()_+-", "{}[]|:;<>,.", "...", "a.", ".a", "`", "%2F", "%", "/", "//", "?", "a b"[:1] + "!"}
	for b := '!'; b <= '~'; b++ {
		if b != '.' { // alone it is refused
			codes = append(codes, string(b))
		}
	}
	for i, code := range codes {
		templateID := "card-" + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
		server.AddUserCard(membercard.UserCard{CardID: templateID, BrandID: brandID, UserCardCode: code, OpenID: openID})
		for _, client := range []*membercard.Client{server.Client(), overSocket} {
			card, err := client.GetUserCard(t.Context(), membercard.GetUserCardRequest{
				BrandID: brandID, CardID: templateID, UserCardCode: code, OpenID: openID,
			})
			require.NoError(t, err, code)
			assert.Equal(t, code, card.UserCardCode)
		}
	}
	assert.NotContains(t, server.Requests()[0].RequestURI, "%25", "A/B#1 was escaped twice")
	assert.Contains(t, server.Requests()[0].RequestURI, "A%2FB%231")
}

func TestQueryValuesAreEscaped(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	oddOpenID := "a b+c&d=e/f?%#字"
	server.AddUserCard(membercard.UserCard{UserCardCode: "1", OpenID: oddOpenID})
	page, err := server.Client().ListUserCards(t.Context(), membercard.ListUserCardsRequest{BrandID: brandID, OpenID: oddOpenID})
	require.NoError(t, err)
	require.Len(t, page.Data, 1)
	assert.Equal(t, oddOpenID, page.Data[0].OpenID)
	assert.Contains(t, server.Requests()[0].RequestURI, "openid=a%20b%2Bc%26d%3De%2Ff%3F%25%23%E5%AD%97&")
}
