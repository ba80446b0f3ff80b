package membercardtest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the protocol demands OAEP with SHA-1
	"crypto/sha256"
	_ "crypto/sha512" // to name a wrong one
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const clockWindow = 5 * time.Minute

// authenticate checks a request's signature, with code of this package's own. A request that comes
// again with the same bytes was answered before. signed is the part of the body that is signed.
func (s *Server) authenticate(request *http.Request, signed, body []byte) (_ *usedNonce, repeated bool, _ *problem) {
	items, message, refused := s.checkSignature(request, signed)
	if refused != nil {
		return nil, false, refused
	}
	digest := sha256.Sum256(append([]byte(message), body...))
	if before, used := s.nonces[items["nonce_str"]]; used {
		if before.digest != digest || s.refuseReplays {
			return nil, false, unauthorized("请求重复，nonce_str 已使用", "nonce_str was used before")
		}
		return before, true, nil
	}
	now := time.Now()
	if now.Sub(s.pruned) > clockWindow { // older ones are refused for their timestamps
		s.pruned = now
		maps.DeleteFunc(s.nonces, func(_ string, used *usedNonce) bool { return now.Sub(used.at) > 2*clockWindow })
	}
	used := &usedNonce{digest: digest, at: now}
	s.nonces[items["nonce_str"]] = used
	return used, false, nil
}

// checkSignature returns the items of the Authorization header and the signed message.
func (s *Server) checkSignature(request *http.Request, body []byte) (items map[string]string, message string, _ *problem) {
	headers := request.Header.Values("Authorization")
	if len(headers) != 1 {
		return nil, "", unauthorized("HTTP 头缺少 Authorization，或重复", "there must be one Authorization header")
	}
	sent, found := strings.CutPrefix(headers[0], s.edition.scheme+" ")
	if !found {
		return nil, "", unauthorized("Authorization 的签名认证类型不支持", "the scheme of Authorization must be "+s.edition.scheme)
	}
	items, err := parseAuthorization(sent, s.edition.item)
	if err != nil {
		return nil, "", unauthorized("Authorization 格式不正确", err.Error())
	}
	if items[s.edition.item] != s.edition.caller {
		return nil, "", unauthorized("商户号错误，请检查 "+s.edition.item, s.edition.item+" is not "+s.edition.caller)
	}
	at := slices.IndexFunc(s.merchants, func(c merchantCertificate) bool { return strings.EqualFold(items["serial_no"], c.serial) })
	if at < 0 {
		return nil, "", unauthorized("商户API证书序列号错误，请检查 serial_no", "serial_no is not the serial number of the merchant API certificate")
	}
	seconds, err := strconv.ParseUint(items["timestamp"], 10, 62)
	if err != nil {
		return nil, "", unauthorized("Authorization 的时间戳格式不正确", "timestamp is not a number of seconds")
	}
	if skew := time.Until(time.Unix(int64(seconds), 0)); skew.Abs() > clockWindow {
		return nil, "", unauthorized("Authorization 的时间戳与当前时间相差超过 5 分钟", late(seconds))
	}
	message = signedMessage(request.Method, request.RequestURI, items["timestamp"], items["nonce_str"], string(body))
	digest := sha256.Sum256([]byte(message))
	key := s.merchants[at].public()
	signature, err := base64.StdEncoding.DecodeString(items["signature"])
	if err != nil || rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) != nil {
		mistake, signed := findMistake(key, signature, request, items, body)
		refused := signError(fmt.Sprintf("the signature does not match%s; the message verified is %q", mistake, message[:min(len(message), 2000)]),
			newSignInformation(request, message, body))
		refused.verified, refused.signed = message, signed
		return nil, "", refused
	}
	return items, message, nil
}

// parseAuthorization reads the five items behind the scheme, in any order. caller is the name of the one that says who calls.
func parseAuthorization(text, caller string) (map[string]string, error) {
	items := map[string]string{}
	for item := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(item), "=")
		if len(value) < 3 || value[0] != '"' || value[len(value)-1] != '"' {
			return nil, fmt.Errorf("the item %s of Authorization is not of the form name=\"value\"", name)
		}
		if _, twice := items[name]; twice {
			return nil, fmt.Errorf("the item %s of Authorization is there twice", name)
		}
		items[name] = value[1 : len(value)-1]
	}
	for _, name := range []string{caller, "nonce_str", "signature", "timestamp", "serial_no"} {
		if items[name] == "" {
			return nil, fmt.Errorf("the item %s of Authorization is missing", name)
		}
	}
	if len(items) != 5 {
		return nil, fmt.Errorf("there are %d items in Authorization, there must be 5", len(items))
	}
	return items, nil
}

func signedMessage(method, uri, timestamp, nonce, body string) string {
	return strings.Join([]string{method, uri, timestamp, nonce, body, ""}, "\n")
}

func signAnswer(key *rsa.PrivateKey, timestamp, nonce string, body []byte) string {
	digest := sha256.Sum256([]byte(timestamp + "\n" + nonce + "\n" + string(body) + "\n"))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

// encryptValue encrypts a sensitive value of an answer for the merchant.
func encryptValue(merchant *rsa.PublicKey, plaintext string) string {
	if plaintext == "" {
		return ""
	}
	ciphertext, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, merchant, []byte(plaintext), nil) //nolint:gosec // see above
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(ciphertext)
}

// decryptValue decrypts a sensitive value of a request.
func decryptValue(key *rsa.PrivateKey, ciphertext string) (string, error) {
	data, err := base64.StdEncoding.DecodeString(ciphertext)
	if err != nil {
		return "", fmt.Errorf("it is not Base64: a value in clear?")
	}
	if len(data) != key.Size() {
		return "", fmt.Errorf("it is not a block of %d bytes: a value in clear?", key.Size())
	}
	plaintext, err := rsa.DecryptOAEP(sha1.New(), nil, key, data, nil) //nolint:gosec // see above
	if err != nil {
		switch {
		case decryptsWith(key, data, &rsa.OAEPOptions{Hash: crypto.SHA256}):
			return "", errors.New("it is encrypted with OAEP and SHA-256, it must be SHA-1")
		case decryptsWith(key, data, nil):
			return "", errors.New("it is encrypted with PKCS #1 v1.5, it must be OAEP with SHA-1")
		}
		return "", errors.New("it does not decrypt with RSA-OAEP and SHA-1: encrypted for another key, the merchant's own perhaps, or with another padding?")
	}
	return string(plaintext), nil
}

func decryptsWith(key *rsa.PrivateKey, data []byte, options crypto.DecrypterOpts) bool {
	_, err := key.Decrypt(nil, data, options)
	return err == nil
}

// findMistake recovers what was signed, and says so when it is one of the usual wrong forms.
func findMistake(key *rsa.PublicKey, signature []byte, request *http.Request, items map[string]string, body []byte) (mistake, signed string) {
	digest := recoverDigest(key, signature)
	if digest == nil {
		return " (" + otherKind(key, signature, signedMessage(request.Method, request.RequestURI, items["timestamp"], items["nonce_str"], string(body))) + ")", ""
	}
	path, query, _ := strings.Cut(request.RequestURI, "?")
	if query != "" {
		query = "?" + query
	}
	decoded, err := url.PathUnescape(path)
	if err != nil {
		decoded = path
	}
	decodedQuery, err := url.QueryUnescape(query)
	if err != nil {
		decodedQuery = query
	}
	nonce, timestamp := items["nonce_str"], items["timestamp"]
	form := func(method, uri, timestamp, body string) string {
		return signedMessage(method, uri, timestamp, nonce, body)
	}
	uri, text := request.RequestURI, string(body)
	candidates := []struct{ mistake, message string }{
		{"the path was signed unescaped", form(request.Method, decoded+query, timestamp, text)},
		{"path and query were signed unescaped", form(request.Method, decoded+decodedQuery, timestamp, text)},
		{"the path was escaped twice before it was signed", form(request.Method, strings.ReplaceAll(path, "%", "%25")+query, timestamp, text)},
		{"the path was signed without the query", form(request.Method, path, timestamp, text)},
		{"the last line feed is missing", strings.TrimSuffix(form(request.Method, uri, timestamp, text), "\n")},
		{"the body was left out", form(request.Method, uri, timestamp, "")},
		{"the body was signed without its final line feed", form(request.Method, uri, timestamp, strings.TrimSuffix(text, "\n"))},
		{"the body was signed with a line feed that was not sent", form(request.Method, uri, timestamp, text+"\n")},
		{"the URL was signed with its host", form(request.Method, "https://"+request.Host+uri, timestamp, text)},
		{"the URL was signed with its host", form(request.Method, "http://"+request.Host+uri, timestamp, text)},
		{"the timestamp was signed in milliseconds", form(request.Method, uri, timestamp+"000", text)},
	}
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", strings.ToLower(request.Method)} {
		candidates = append(candidates, struct{ mistake, message string }{"the method was signed as " + method, form(method, uri, timestamp, text)})
	}
	for _, encoded := range encodings(body) {
		candidates = append(candidates, struct{ mistake, message string }{"the body was encoded anew after it was signed, or before", form(request.Method, uri, timestamp, encoded)})
	}
	for _, c := range candidates {
		if sum := sha256.Sum256([]byte(c.message)); bytes.Equal(sum[:], digest) {
			return " (" + c.mistake + ")", c.message
		}
	}
	return "", ""
}

// late says what is wrong with a timestamp that is not within five minutes.
func late(seconds uint64) string {
	if seconds > 1e12 {
		return "timestamp is in milliseconds, it must be in seconds"
	}
	return "timestamp is more than 5 minutes from the server's clock"
}

// otherKind says what else a signature is, when it is none with RSA PKCS #1 v1.5 and SHA-256 of the merchant's key.
func otherKind(key *rsa.PublicKey, signature []byte, message string) string {
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA384, crypto.SHA512} {
		h := hash.New()
		h.Write([]byte(message))
		if rsa.VerifyPKCS1v15(key, hash, h.Sum(nil), signature) == nil {
			return "it was made with " + hash.String() + ", it must be SHA-256"
		}
	}
	digest := sha256.Sum256([]byte(message))
	if rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, nil) == nil {
		return "it was made with RSA-PSS, it must be PKCS #1 v1.5"
	}
	return "it was not made with the merchant's key and SHA-256"
}

// encodings returns other ways to write the same JSON.
func encodings(body []byte) []string {
	var value any
	if json.Unmarshal(body, &value) != nil {
		return nil
	}
	sorted := encode(value)
	var compact, indented, unescaped bytes.Buffer
	_ = json.Compact(&compact, body)
	_ = json.Indent(&indented, body, "", "  ")
	encoder := json.NewEncoder(&unescaped)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value)
	return []string{string(sorted), compact.String(), indented.String(), unescaped.String(), strings.TrimSpace(unescaped.String())}
}

// recoverDigest undoes the padding of a PKCS #1 v1.5 signature of SHA-256.
func recoverDigest(key *rsa.PublicKey, signature []byte) []byte {
	if len(signature) != key.Size() {
		return nil
	}
	block := new(big.Int).Exp(new(big.Int).SetBytes(signature), big.NewInt(int64(key.E)), key.N).FillBytes(make([]byte, key.Size()))
	digestInfo := []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}
	rest, digest := block[:len(block)-sha256.Size], block[len(block)-sha256.Size:]
	if !bytes.HasPrefix(block, []byte{0, 1, 0xff}) || !bytes.HasSuffix(rest, append([]byte{0}, digestInfo...)) {
		return nil
	}
	return digest
}

// signInformation is what the service says it verified.
type signInformation struct {
	Method               string `json:"method"`
	URL                  string `json:"url"`
	TruncatedSignMessage string `json:"truncated_sign_message"`
	SignMessageLength    int    `json:"sign_message_length"`
}

func newSignInformation(request *http.Request, message string, body []byte) *signInformation {
	truncated := message
	if len(body) > 4 { // the body is cut off after a few bytes
		truncated = message[:len(message)-len(body)-1+4]
	}
	return &signInformation{
		Method: request.Method, URL: request.RequestURI, TruncatedSignMessage: truncated, SignMessageLength: len(message),
	}
}
