// Package apiv3 is the WeChat Pay APIv3 protocol as pure functions over bytes: what is signed, what
// is verified, how a field is encrypted and decrypted, how keys and error bodies are read. It knows no
// HTTP client, no configuration and no clock.
package apiv3

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the protocol demands OAEP with SHA-1
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/wechatpay-apiv3/wechatpay-go/utils"
)

// The authorization schemes, of service providers and of brands: SHA256withRSA.
const (
	Scheme      = "WECHATPAY2-SHA256-RSA2048"
	BrandScheme = "WECHATPAY-BRAND-SHA256-RSA2048"
)

// Identity says in the Authorization header who signs.
type Identity struct{ Scheme, Name, Value string }

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

// Sign signs a message with RSASSA-PKCS1-v1_5 and SHA-256.
func Sign(key crypto.Signer, message []byte) ([]byte, error) {
	if key, ok := key.(*rsa.PrivateKey); ok {
		digest := sha256.Sum256(message)
		return rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	}
	return crypto.SignMessage(key, rand.Reader, message, crypto.SHA256)
}

// Authorization signs a message with Sign and returns the value of the Authorization header, and the signature.
func Authorization(key crypto.Signer, who Identity, serial, nonce string, timestamp int64, message []byte) (header, signature string, err error) {
	signed, err := Sign(key, message)
	if err != nil {
		return "", "", err
	}
	text := make([]byte, 0, 1024) // on the stack, for keys of up to 4096 bits
	text = append(append(append(append(append(text, who.Scheme...), ' '), who.Name...), `="`...), who.Value...)
	text = append(append(append(text, `",nonce_str="`...), nonce...), `",signature="`...)
	from := len(text)
	text = base64.StdEncoding.AppendEncode(text, signed)
	to := len(text)
	text = strconv.AppendInt(append(text, `",timestamp="`...), timestamp, 10)
	header = string(append(append(append(text, `",serial_no="`...), serial...), '"'))
	return header, header[from:to], nil
}

// Verify reports whether signature is a Base64 signature under key of an answer or a notification. It covers three lines, of the
// headers and the body as they were received. The body, which can be long, is not copied.
func Verify(key *rsa.PublicKey, timestamp, nonce string, body []byte, signature string) bool {
	message := sha256.New()
	head := make([]byte, 0, 64)
	head = append(append(head, timestamp...), '\n')
	head = append(append(head, nonce...), '\n')
	message.Write(head)
	message.Write(body)
	message.Write([]byte{'\n'})
	return verifyDigest(key, message.Sum(head[:0]), signature)
}

func verifyDigest(key *rsa.PublicKey, digest []byte, signature string) bool {
	var decoded [1024]byte // on the stack; more than any signature
	if len(signature) > len(decoded) {
		return false
	}
	n, err := base64.StdEncoding.Decode(decoded[:], []byte(signature))
	return err == nil && rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, decoded[:n]) == nil
}

// Encrypt encrypts a field with RSAES-OAEP, SHA-1 and MGF1-SHA-1, and returns standard Base64.
func Encrypt(key *rsa.PublicKey, plaintext string) (string, error) {
	if most := key.Size() - 2*sha1.Size - 2; len(plaintext) > most {
		return "", fmt.Errorf("%d bytes do not fit into an encrypted field, at most %d do", len(plaintext), most)
	}
	return utils.EncryptOAEPWithPublicKey(plaintext, key)
}

// Decrypt decrypts what Encrypt made. Its errors say nothing of the value.
func Decrypt(key crypto.Decrypter, ciphertext string) (string, error) {
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
	var block [1024]byte // on the stack
	if len(s) > len(block) {
		return false
	}
	n, err := strictBase64.Decode(block[:], []byte(s)) // line feeds do not count, so a text with one is too long
	return err == nil && (n == 256 || n == 384 || n == 512) && len(s) == base64.StdEncoding.EncodedLen(n)
}

var strictBase64 = base64.StdEncoding.Strict()

// IsDamaged reports whether a piece of ciphertext stands in s: cut off, broken, escaped, or with something around it. A plaintext has
// no run of characters of Base64 that is as long and changes as often between capitals, small letters and digits.
func IsDamaged(s string) bool {
	if IsCiphertext(s) {
		return false
	}
	if lines := strings.Fields(s); len(s) > 100 && IsBase64Like(s) && areEven(lines) && isRandom(strings.Join(lines, "")) {
		return true
	}
	for run := range strings.FieldsFuncSeq(escapedBase64.Replace(s), func(r rune) bool { return !strings.ContainsRune(base64Like, r) }) {
		if isRandom(run) {
			return true
		}
	}
	return false
}

// areEven reports whether lines are those of one long word: all of one length but the last, and none as short as a word of an address.
func areEven(lines []string) bool {
	const shortest = 16
	for i, line := range lines {
		if len(line) > len(lines[0]) || i < len(lines)-1 && len(line) < max(shortest, len(lines[0])) {
			return false
		}
	}
	return true
}

// escapedBase64 undoes what URLs and PHP's JSON make of the characters of Base64.
var escapedBase64 = strings.NewReplacer("%2B", "+", "%2b", "+", "%2F", "/", "%2f", "/", "%3D", "=", "%3d", "=", `\/`, "/")

// isRandom reports whether a run of characters of Base64 is long enough and mixed as only chance does.
func isRandom(run string) bool {
	const long = 32
	var seen [3]bool
	changes, last := 0, -1
	for i := range len(run) {
		class := classOf(run[i])
		if class < 0 {
			continue
		}
		if last >= 0 && class != last {
			changes++
		}
		seen[class], last = true, class
	}
	return len(run) >= long && seen == [3]bool{true, true, true} && changes*5 >= len(run)*2
}

// classOf tells capitals, small letters and digits apart; -1 is another character.
func classOf(c byte) int {
	switch {
	case 'A' <= c && c <= 'Z':
		return 0
	case 'a' <= c && c <= 'z':
		return 1
	case '0' <= c && c <= '9':
		return 2
	}
	return -1
}

// IsBase64Like reports whether s has only characters of Base64, in either alphabet, and white space.
func IsBase64Like(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(base64Like+whiteSpace, r) })
}

const (
	base64Like = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_="
	whiteSpace = " \r\n\t"
)
