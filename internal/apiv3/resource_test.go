package apiv3

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestResourceVectors(t *testing.T) {
	var vectors []resourceVector
	readVectors(t, "resource.json", &vectors)
	require.NotEmpty(t, vectors)
	for _, v := range vectors {
		plaintext, err := v.Resource.Decrypt(v.Key)
		require.NoError(t, err, v.Name)
		assert.Equal(t, v.Plaintext, string(plaintext), v.Name)
	}
}

func TestResourceRefuses(t *testing.T) {
	var vectors []resourceVector
	readVectors(t, "resource.json", &vectors)
	key := vectors[0].Key
	for says, change := range map[string]func(*Resource){
		"the APIv3 key has 16 bytes, it must have 32": func(*Resource) { key = key[:16] },
		"another algorithm than AEAD_AES_256_GCM":     func(r *Resource) { r.Algorithm = "AEAD_SM4_GCM" },
		"its nonce has 13 bytes, it must have 12":     func(r *Resource) { r.Nonce += "x" },
		"its nonce has 0 bytes":                       func(r *Resource) { r.Nonce = "" },
		"its ciphertext is not standard Base64":       func(r *Resource) { r.Ciphertext = "%" },
		"it does not decrypt with the APIv3 key":      func(r *Resource) { r.AssociatedData += "x" },
		"decrypt with the APIv3 key":                  func(r *Resource) { r.Ciphertext = "" },
	} {
		key = vectors[0].Key
		resource := vectors[0].Resource
		change(&resource)
		_, err := resource.Decrypt(key)
		require.ErrorContains(t, err, says)
		assert.NotContains(t, err.Error(), vectors[0].Key[:16])
	}
	_, err := vectors[0].Resource.Decrypt(strings.Repeat("k", 32))
	require.ErrorIs(t, err, ErrAPIv3Key)
}

// FuzzResource: whatever comes, it opens with the right key or is an error, and never panics.
func FuzzResource(f *testing.F) {
	f.Add("AEAD_AES_256_GCM", "j9g1wAzF9Xn1", "sync_user_point", "TM+nzlfJ")
	f.Add("", "", "", "")
	f.Fuzz(func(t *testing.T, algorithm, nonce, associatedData, ciphertext string) {
		resource := Resource{Algorithm: algorithm, Nonce: nonce, AssociatedData: associatedData, Ciphertext: ciphertext}
		plaintext, err := resource.Decrypt("0123456789abcdefghijklmnopqrstuv")
		assert.Equal(t, err == nil, plaintext != nil)
	})
}
