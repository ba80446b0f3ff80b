// Package apiv3 is the WeChat Pay APIv3 protocol as pure functions over bytes: what is signed, what
// is verified, how a field is sealed and opened, how keys and error bodies are read. It knows no
// HTTP client, no configuration and no clock.
package apiv3

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the protocol demands OAEP with SHA-1
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"
)

// Scheme is the authorization scheme: SHA256withRSA.
const Scheme = "WECHATPAY2-SHA256-RSA2048"

// Nonce returns 32 random letters and digits.
func Nonce() (string, error) { return utils.GenerateNonce() }

// RequestMessage returns the five lines a request's signature covers. uri is the path and query
// exactly as they stand on the request line, body the bytes exactly as they are sent.
func RequestMessage(method, uri string, timestamp int64, nonce string, body []byte) []byte {
	message := make([]byte, 0, len(method)+len(uri)+len(nonce)+len(body)+24)
	message = append(append(message, method...), '\n')
	message = append(append(message, uri...), '\n')
	message = append(strconv.AppendInt(message, timestamp, 10), '\n')
	message = append(append(message, nonce...), '\n')
	return append(append(message, body...), '\n')
}

// AnswerMessage returns the three lines the signature of an answer or a notification covers, from
// the headers and the body as they were received.
func AnswerMessage(timestamp, nonce string, body []byte) []byte {
	message := make([]byte, 0, len(timestamp)+len(nonce)+len(body)+3)
	message = append(append(message, timestamp...), '\n')
	message = append(append(message, nonce...), '\n')
	return append(append(message, body...), '\n')
}

// Sign signs a message with RSASSA-PKCS1-v1_5 and SHA-256 and returns standard Base64.
func Sign(key crypto.Signer, message []byte) (string, error) {
	signature, err := crypto.SignMessage(key, rand.Reader, message, crypto.SHA256)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(signature), nil
}

// Authorization returns the value of the Authorization header.
func Authorization(mchID, serial, nonce string, timestamp int64, signature string) string {
	return Scheme + ` mchid="` + mchID + `",nonce_str="` + nonce + `",signature="` + signature +
		`",timestamp="` + strconv.FormatInt(timestamp, 10) + `",serial_no="` + serial + `"`
}

// Verify reports whether signature is a Base64 signature of message under key.
func Verify(key *rsa.PublicKey, message []byte, signature string) bool {
	verifier := verifiers.NewSHA256WithRSAPubkeyVerifier("", *key)
	return verifier.Verify(context.Background(), "", string(message), signature) == nil
}

// Seal encrypts a field with RSAES-OAEP, SHA-1 and MGF1-SHA-1, and returns standard Base64.
func Seal(key *rsa.PublicKey, plaintext string) (string, error) {
	if most := key.Size() - 2*sha1.Size - 2; len(plaintext) > most {
		return "", fmt.Errorf("%d bytes do not fit into an encrypted field, at most %d do", len(plaintext), most)
	}
	return utils.EncryptOAEPWithPublicKey(plaintext, key)
}

// Open decrypts what Seal made. Its errors say nothing of the value.
func Open(key crypto.Decrypter, ciphertext string) (string, error) {
	data, err := base64.StdEncoding.DecodeString(ciphertext)
	if err != nil {
		return "", errors.New("the ciphertext is not standard Base64")
	}
	plaintext, err := key.Decrypt(rand.Reader, data, &rsa.OAEPOptions{Hash: crypto.SHA1})
	if err != nil {
		return "", err
	}
	return string(plaintext), nil
}

// IsCiphertext reports whether s can be the ciphertext of a field: standard Base64 of exactly one
// block of an RSA key of 2048, 3072 or 4096 bits.
func IsCiphertext(s string) bool {
	if len(s) != 344 && len(s) != 512 && len(s) != 684 {
		return false
	}
	data, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil && len(data)%128 == 0
}
