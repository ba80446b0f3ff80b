package apiv3

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/wechatpay-apiv3/wechatpay-go/utils"
)

// Resource is what WeChat Pay encrypted with the APIv3 key: the content of a notification, or a
// platform certificate.
type Resource struct {
	Algorithm      string `json:"algorithm"`
	Ciphertext     string `json:"ciphertext"`
	AssociatedData string `json:"associated_data"`
	Nonce          string `json:"nonce"`
	OriginalType   string `json:"original_type,omitempty"`
}

// The one algorithm there is, AES-256-GCM, and its sizes in bytes.
const (
	resourceAlgorithm = "AEAD_AES_256_GCM"
	APIv3KeySize      = 32
	nonceSize         = 12
)

// ErrAPIv3Key is what a wrong key looks like.
var ErrAPIv3Key = errors.New("it does not decrypt with the APIv3 key")

// Decrypt decrypts the resource. Its errors say nothing of the key and the content.
func (r *Resource) Decrypt(key string) ([]byte, error) {
	switch {
	case len(key) != APIv3KeySize:
		return nil, fmt.Errorf("the APIv3 key has %d bytes, it must have %d", len(key), APIv3KeySize)
	case r.Algorithm != resourceAlgorithm:
		return nil, errors.New("it is encrypted with another algorithm than " + resourceAlgorithm)
	case len(r.Nonce) != nonceSize: // the cipher panics on others
		return nil, fmt.Errorf("its nonce has %d bytes, it must have %d", len(r.Nonce), nonceSize)
	}
	plaintext, err := utils.DecryptAES256GCM(key, r.AssociatedData, r.Nonce, r.Ciphertext)
	if _, corrupt := errors.AsType[base64.CorruptInputError](err); corrupt {
		return nil, errors.New("its ciphertext is not standard Base64")
	}
	if err != nil {
		return nil, ErrAPIv3Key
	}
	return []byte(plaintext), nil
}
