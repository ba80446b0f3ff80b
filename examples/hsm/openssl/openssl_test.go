package openssl

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func newKey(t *testing.T) (*rsa.PrivateKey, *Key) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	key, err := NewKey(private)
	if err != nil && strings.Contains(err.Error(), "libssl3") {
		t.Skip(err)
	}
	require.NoError(t, err)
	return private, key
}

// TestSameSignature: OpenSSL makes the bytes that crypto/rsa makes.
func TestSameSignature(t *testing.T) {
	private, key := newKey(t)
	digest := sha256.Sum256([]byte("message"))
	want, err := private.Sign(nil, digest[:], crypto.SHA256)
	require.NoError(t, err)
	got, err := key.Sign(nil, digest[:], crypto.SHA256)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	_, err = key.Sign(nil, digest[:], &rsa.PSSOptions{Hash: crypto.SHA256})
	require.Error(t, err)
	_, err = key.Decrypt(nil, want, &rsa.OAEPOptions{Hash: crypto.SHA256})
	require.Error(t, err)
}

// TestClient: a client signs and opens with it, from many goroutines.
func TestClient(t *testing.T) {
	_, key := newKey(t)
	server := membercardtest.NewTestServer(t, membercardtest.WithMerchantKey(key))
	card := server.AddUserCard(membercard.UserCard{PhoneNumber: membercard.NewSensitive("13800000000")})
	client := server.Client()
	var callers sync.WaitGroup
	for range 32 {
		callers.Go(func() {
			got, err := client.GetUserCard(t.Context(), membercard.GetUserCardRequest{
				BrandID: card.BrandID, CardID: card.CardID, UserCardCode: card.UserCardCode, OpenID: card.OpenID,
			})
			if !assert.NoError(t, err) {
				return
			}
			phone, err := client.Decrypt(got.PhoneNumber)
			assert.NoError(t, err)
			assert.Equal(t, "13800000000", phone)
		})
	}
	callers.Wait()
}
