package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

// TestRotatedKeys: new key files are used without a restart, what cannot be used is not, and what came before is opened still.
func TestRotatedKeys(t *testing.T) {
	p := newPlatform(t)
	card := p.member(t, "o-1")
	before := p.keys.current.Load()
	stored, err := io.ReadAll(p.fake.NotificationRequest(&membercard.UserCardDeleted{UserCard: card}).Body)
	require.NoError(t, err)

	broken := filepath.Join(p.files, "apiclient_key.pem")
	key, err := os.ReadFile(broken)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(broken, []byte("half"), 0o600))
	require.ErrorContains(t, p.keys.load(), "apiclient_key.pem")
	assert.Same(t, before, p.keys.current.Load(), "the keys before are kept")
	require.NoError(t, os.WriteFile(broken, key, 0o600))
	missing := filepath.Join(p.files, "apiv3_key.txt")
	require.NoError(t, os.Rename(missing, missing+".away"))
	require.ErrorContains(t, p.keys.load(), "apiv3_key.txt")
	require.NoError(t, os.Rename(missing+".away", missing))
	go p.keys.watch(t.Context(), 20*time.Millisecond, slog.New(slog.NewTextHandler(t.Output(), nil)))

	previous := filepath.Join(p.files, "previous")
	require.NoError(t, os.Mkdir(previous, 0o700))
	for name, data := range p.fake.KeyFiles() {
		require.NoError(t, os.WriteFile(filepath.Join(previous, name), data, 0o600))
	}
	encrypted, err := p.keys.encryptPhone("13900001234")
	require.NoError(t, err)
	p.fake.RotateMerchantKey()
	for name, data := range p.fake.KeyFiles() {
		require.NoError(t, os.WriteFile(filepath.Join(p.files, name), data, 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(p.files, "apiv3_key.txt"), []byte("another-APIv3-key-32-characters-"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(p.files, "api_token.txt"), []byte("another token of chance"), 0o600))
	p.eventually(t, func() bool { // files that change while they are read are read again
		_, err := p.keys.client().OpenNotification(stored)
		return err != nil && p.keys.current.Load().token == "another token of chance"
	})
	n, err := p.keys.openNotification(stored)
	require.NoError(t, err, "with the key before")
	assert.IsType(t, &membercard.UserCardDeleted{}, n.Event)
	response := httptest.NewRecorder()
	p.handler(http.NotFoundHandler(), http.NotFoundHandler()).ServeHTTP(response, p.fake.NotificationRequest(&membercard.UserCardDeleted{UserCard: card}))
	assert.Equal(t, http.StatusNoContent, response.Code, "one that comes under the key before")
	var phone membercard.Sensitive
	require.NoError(t, phone.Scan(encrypted))
	plain, err := p.keys.client().Decrypt(phone)
	require.NoError(t, err)
	assert.Equal(t, "13900001234", plain)
	require.Equal(t, http.StatusNoContent, p.post(t, "/points", of(card, map[string]any{"id": "1", "points": 5})))
	p.eventually(t, func() bool { return p.fake.Points(card.CardID, card.UserCardCode) == 5 })
}
