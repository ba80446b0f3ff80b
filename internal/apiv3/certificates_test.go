package apiv3

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const testAPIv3Key = "0123456789abcdefghijklmnopqrstuv"

func certificate(t *testing.T, serial int64, public any, signer any, notBefore, notAfter time.Time) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: notBefore, NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, signer)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return parsed
}

// TestCertificateSet follows a set through three lists.
func TestCertificateSet(t *testing.T) {
	start := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	valid := func(serial int64, from, to time.Duration) *x509.Certificate {
		return certificate(t, serial, &testKey().PublicKey, testKey(), start.Add(from), start.Add(to))
	}
	const day = 24 * time.Hour
	old, current, next := valid(0xA1, -day, 30*day), valid(0xB1, -time.Hour, 30*day), valid(0xC1, time.Hour, 60*day)
	find := func(set *CertificateSet, serial string, now time.Time) (found bool, err error) {
		key, err := set.Find(serial, now)
		return key != nil, err
	}
	var none *CertificateSet
	found, err := find(none, "A1", start)
	assert.False(t, found || err != nil)
	assert.Nil(t, none.Newest(start))

	first := none.Follow([]*x509.Certificate{old, current, next}, start)
	assert.Equal(t, start, first.Downloaded)
	assert.Equal(t, current, first.Newest(start), "of those in effect the one that came last")
	assert.Equal(t, next, first.Newest(start.Add(time.Hour)))
	for _, serial := range []string{"A1", "a1", "B1"} {
		found, err = find(first, serial, start)
		require.NoError(t, err)
		assert.True(t, found, serial)
	}
	_, err = find(first, "C1", start)
	require.ErrorContains(t, err, "that platform certificate is valid from 2026-11-26 09:00:00 to 2027-01-25 08:00:00 only")
	found, err = find(first, "D1", start)
	assert.False(t, found || err != nil)

	second := first.Follow([]*x509.Certificate{old}, start.Add(day))
	assert.Equal(t, old, second.Newest(start.Add(day)), "a withdrawn certificate encrypts no more")
	found, _ = find(second, "B1", start.Add(2*day-1))
	assert.True(t, found, "it verifies for a day")
	found, _ = find(second, "B1", start.Add(2*day))
	assert.False(t, found)
	third := second.Follow([]*x509.Certificate{old, next}, start.Add(2*day-1))
	found, _ = find(third, "B1", start.Add(2*day-1))
	assert.True(t, found, "of the first withdrawal, whatever other lists come")
	found, _ = find(third, "C1", start.Add(10*day))
	assert.True(t, found, "it is listed again")
	found, _ = find(third.Follow(nil, start.Add(2*day)), "B1", start.Add(2*day))
	assert.False(t, found)
	assert.Nil(t, third.Newest(start.Add(90*day)), "all have expired")
}

func encryptedCertificate(t *testing.T, serial string, content []byte) map[string]any {
	t.Helper()
	block, err := aes.NewCipher([]byte(testAPIv3Key))
	require.NoError(t, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(t, err)
	return map[string]any{"serial_no": serial, "encrypt_certificate": map[string]any{
		"algorithm": "AEAD_AES_256_GCM", "nonce": "4de73afd28b6", "associated_data": "certificate",
		"ciphertext": base64.StdEncoding.EncodeToString(gcm.Seal(nil, []byte("4de73afd28b6"), content, []byte("certificate"))),
	}}
}

func TestOpenCertificates(t *testing.T) {
	now := time.Now()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	asPEM := func(c *x509.Certificate) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	good := asPEM(certificate(t, 0xA1, &testKey().PublicKey, testKey(), now, now.Add(time.Hour)))
	for says, items := range map[string][]any{
		"":                                      {encryptedCertificate(t, "a1", good)},
		"the list is empty":                     {},
		"certificate 1 of 1: it is encrypted":   {map[string]any{"serial_no": "A1"}},
		"it has the serial number A1":           {encryptedCertificate(t, "A2", good)},
		"this is no PEM file":                   {encryptedCertificate(t, "A1", []byte("x"))},
		"its key has 1024 bits":                 {encryptedCertificate(t, "A1", asPEM(certificate(t, 0xA1, &small.PublicKey, testKey(), now, now.Add(time.Hour))))},
		"its key is a *ecdsa.PublicKey":         {encryptedCertificate(t, "A1", asPEM(certificate(t, 0xA1, &elliptical.PublicKey, elliptical, now, now.Add(time.Hour))))},
		"certificate 2 of 2: it has the serial": {encryptedCertificate(t, "A2", good), encryptedCertificate(t, "A3", good)},
	} {
		body, err := json.Marshal(map[string]any{"data": items})
		require.NoError(t, err)
		list, err := DecryptCertificates(body, testAPIv3Key)
		if says == "" {
			require.NoError(t, err)
			require.Len(t, list, 1)
			continue
		}
		require.ErrorContains(t, err, says)
		assert.Nil(t, list)
	}
	_, err = DecryptCertificates([]byte("x"), testAPIv3Key)
	require.ErrorContains(t, err, "the list of certificates cannot be decoded")
	body, err := json.Marshal(map[string]any{"data": []any{map[string]any{}, encryptedCertificate(t, "A1", good)}})
	require.NoError(t, err)
	list, err := DecryptCertificates(body, testAPIv3Key)
	require.NoError(t, err, "one that cannot be used does not make the others unusable")
	assert.Len(t, list, 1)
}
