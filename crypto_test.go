package membercard_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestMerchantKeyRotation exchanges the client under load when the merchant certificate changes. What was
// encrypted for the old key still opens.
func TestMerchantKeyRotation(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	old := server.Config().PrivateKey.(*rsa.PrivateKey)
	var current atomic.Pointer[membercard.Client]
	current.Store(server.Client())
	next := newKey()
	stored, err := current.Load().GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	storedJSON, err := json.Marshal(stored.PhoneNumber) // as a database keeps it, encrypted for the old key
	require.NoError(t, err)

	var swapped atomic.Bool
	acceptsBoth := roundTripperFunc(func(r *http.Request) (*http.Response, error) { // as the service does for a while
		if strings.Contains(r.Header.Get("Authorization"), `serial_no="5157"`) {
			swapped.Store(true)
		}
		return server.RoundTrip(resign(t, r, old))
	})
	newConfig := server.Config()
	newConfig.PrivateKey, newConfig.CertificateSerial = next, "5157"
	newConfig.PreviousKeys = append(newConfig.PreviousKeys, old)
	newConfig.HTTPClient = &http.Client{Transport: acceptsBoth}
	renewed, err := membercard.New(newConfig)
	require.NoError(t, err)

	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			for j := range 20 {
				if i == 0 && j == 10 {
					current.Store(renewed)
				}
				card, err := current.Load().GetUserCard(t.Context(), getRequest)
				if assert.NoError(t, err) {
					_, err = current.Load().Decrypt(card.PhoneNumber)
					assert.NoError(t, err)
				}
			}
		})
	}
	group.Wait()
	assert.True(t, swapped.Load())
	var kept membercard.Sensitive
	require.NoError(t, json.Unmarshal(storedJSON, &kept))
	opened, err := renewed.Decrypt(kept)
	require.NoError(t, err)
	assert.Equal(t, phoneNumber, opened)
}

// resign replaces the signature by one that the fake accepts.
func resign(t *testing.T, r *http.Request, key *rsa.PrivateKey) *http.Request {
	t.Helper()
	authorization := r.Header.Get("Authorization")
	if !strings.Contains(authorization, `serial_no="5157"`) {
		return r
	}
	item := func(name string) string {
		_, rest, _ := strings.Cut(authorization, name+`="`)
		value, _, _ := strings.Cut(rest, `"`)
		return value
	}
	message := strings.Join([]string{r.Method, r.URL.RequestURI(), item("timestamp"), item("nonce_str"), "", ""}, "\n")
	digest := sha256.Sum256([]byte(message))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	require.NoError(t, err)
	signed := r.Clone(r.Context())
	signed.Header.Set("Authorization", fmt.Sprintf(`WECHATPAY2-SHA256-RSA2048 mchid="%s",nonce_str="%s",timestamp="%s",serial_no="%s",signature="%s"`,
		membercardtest.MchID, item("nonce_str"), item("timestamp"), membercardtest.CertificateSerial, base64.StdEncoding.EncodeToString(signature)))
	return signed
}

// TestLoadConfig: the folder of the merchant platform is a configuration, in whatever form its files are.
func TestLoadConfig(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	folder := func() fstest.MapFS {
		dir := fstest.MapFS{}
		for name, data := range server.KeyFiles() {
			dir[name] = &fstest.MapFile{Data: data}
		}
		return dir
	}
	load := func(dir fstest.MapFS) (*membercard.Client, error) {
		config, err := membercard.LoadConfig(dir)
		if err != nil {
			return nil, err
		}
		config.HTTPClient = server.Config().HTTPClient
		return membercard.New(config)
	}
	other := folder()
	other["wxp_pub.pem"] = other["pub_key.pem"]
	delete(other, "pub_key.pem")
	other["public_key_id.txt"].Data = append([]byte("\ufeff \""), append(other["public_key_id.txt"].Data, "\"\r\n"...)...)
	for _, dir := range []fstest.MapFS{folder(), other} {
		client, err := load(dir)
		require.NoError(t, err)
		for _, finding := range client.Check(t.Context()) {
			assert.True(t, finding.OK, finding.String())
		}
	}
	brand := membercardtest.NewTestServer(t, membercardtest.WithBrandEdition())
	dir := fstest.MapFS{}
	for name, data := range brand.KeyFiles() {
		dir[name] = &fstest.MapFile{Data: data}
	}
	config, err := membercard.LoadConfig(dir)
	require.NoError(t, err)
	assert.Equal(t, [2]string{"", membercardtest.BrandID}, [2]string{config.MchID, config.BrandID})
	for _, missing := range []string{"apiclient_key.pem", "apiclient_cert.pem", "pub_key.pem", "public_key_id.txt"} {
		dir := folder()
		delete(dir, missing)
		_, err := load(dir)
		require.ErrorContains(t, err, missing)
		dir[missing] = &fstest.MapFile{Data: []byte("-----BEGIN")}
		if missing != "public_key_id.txt" {
			_, err = load(dir)
			require.ErrorContains(t, err, "LoadConfig: "+missing+": this is")
		}
	}
	for name, says := range map[string]string{"apiv3_key.txt": "this is an empty file", "public_key_id.txt": "wanted is the id of the WeChat Pay public key, PUB_KEY_ID_ and digits"} {
		dir := folder()
		dir[name] = &fstest.MapFile{Data: []byte(" \r\n")}
		_, err = load(dir)
		require.ErrorContains(t, err, "LoadConfig: "+name+": "+says)
	}
	dir = folder()
	dir["public_key_id.txt"] = dir["apiclient_key.pem"]
	_, err = load(dir)
	require.ErrorContains(t, err, "public_key_id.txt: wanted")
	assert.NotContains(t, err.Error(), "PRIVATE")
	_, err = load(fstest.MapFS{})
	require.ErrorContains(t, err, "there is no such folder, or none of the files")
}

// keyCall asks the process that holds the key to sign a digest or to decrypt.
type keyCall struct {
	Decrypt bool
	Data    []byte
	Hash    crypto.Hash
}

type keyAnswer struct {
	Data []byte
	Err  string
}

// serveKey is the process that holds the key: it gets the key once, and then answers calls.
func serveKey(in io.Reader, out io.Writer) {
	decoder, encoder := gob.NewDecoder(in), gob.NewEncoder(out)
	var key rsa.PrivateKey
	if decoder.Decode(&key) != nil {
		os.Exit(2)
	}
	key.Precompute()
	for {
		var call keyCall
		if decoder.Decode(&call) != nil {
			return
		}
		var answer keyAnswer
		var err error
		if call.Decrypt {
			answer.Data, err = key.Decrypt(rand.Reader, call.Data, &rsa.OAEPOptions{Hash: call.Hash})
		} else {
			answer.Data, err = key.Sign(rand.Reader, call.Data, call.Hash)
		}
		if err != nil {
			answer.Err = err.Error()
		}
		if encoder.Encode(answer) != nil {
			return
		}
	}
}

// remoteKey is a key in another process, at the other end of a pipe, as one in an HSM would be.
type remoteKey struct {
	public  *rsa.PublicKey
	mu      sync.Mutex
	encoder *gob.Encoder
	decoder *gob.Decoder
	calls   int
}

func (k *remoteKey) Public() crypto.PublicKey { return k.public }

func (k *remoteKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.call(keyCall{Data: digest, Hash: opts.HashFunc()})
}

func (k *remoteKey) Decrypt(_ io.Reader, data []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	return k.call(keyCall{Decrypt: true, Data: data, Hash: opts.(*rsa.OAEPOptions).Hash})
}

func (k *remoteKey) call(call keyCall) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	var answer keyAnswer
	if err := errors.Join(k.encoder.Encode(call), k.decoder.Decode(&answer)); err != nil {
		return nil, err
	}
	if answer.Err != "" {
		return nil, errors.New(answer.Err)
	}
	return answer.Data, nil
}

// signOnly hides that a key can decrypt.
type signOnly struct{ crypto.Signer }

func TestKeyInAnotherProcess(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	own := server.Config().PrivateKey.(*rsa.PrivateKey)

	process := exec.CommandContext(t.Context(), os.Args[0])
	process.Env = append(os.Environ(), "MEMBERCARD_TEST_KEY_PROCESS=1")
	in, err := process.StdinPipe()
	require.NoError(t, err)
	out, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	key := &remoteKey{public: &own.PublicKey, encoder: gob.NewEncoder(in), decoder: gob.NewDecoder(out)}
	require.NoError(t, key.encoder.Encode(rsa.PrivateKey{PublicKey: own.PublicKey, D: own.D, Primes: own.Primes}))

	client := newClient(t, server, func(c *membercard.Config) { c.PrivateKey = key })
	card, err := client.GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	assert.Equal(t, 1, key.calls, "one signature and nothing else")
	opened, err := client.Decrypt(card.PhoneNumber)
	require.NoError(t, err)
	assert.Equal(t, phoneNumber, opened)
	_, err = client.Decrypt(card.PhoneNumber)
	require.NoError(t, err)
	assert.Equal(t, 2, key.calls, "a value opened twice costs one operation")

	t.Run("a key that only signs", func(t *testing.T) {
		client := newClient(t, server, func(c *membercard.Config) { c.PrivateKey = signOnly{key} })
		card, err := client.GetUserCard(t.Context(), getRequest)
		require.NoError(t, err)
		_, err = client.Decrypt(card.PhoneNumber)
		assert.ErrorContains(t, err, "crypto.Decrypter")
	})
	require.NoError(t, in.Close())
	require.NoError(t, process.Wait())
}

type keyWithPublic struct{ public crypto.PublicKey }

func (k keyWithPublic) Public() crypto.PublicKey { return k.public }

func (k keyWithPublic) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, assert.AnError
}

func TestAKeyMadeByHandWorks(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	own := server.Config().PrivateKey.(*rsa.PrivateKey)
	byHand := &rsa.PrivateKey{PublicKey: own.PublicKey, D: own.D, Primes: own.Primes}
	client := newClient(t, server, func(c *membercard.Config) { c.PrivateKey = byHand })
	_, err := client.GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	assert.Nil(t, byHand.Precomputed.Dp, "the caller's key was changed")
}

func TestParseErrorsSayWhichFile(t *testing.T) {
	t.Parallel()
	_, err := membercard.ParsePrivateKey([]byte("no key"))
	require.ErrorContains(t, err, "apiclient_key.pem")
	_, err = membercard.ParsePublicKey(nil)
	require.ErrorContains(t, err, "pub_key.pem")
	_, err = membercard.ParseCertificate([]byte{0x30, 0x82})
	require.ErrorContains(t, err, "apiclient_cert.p12")
}

// instantKey signs nothing, for tests that count something else.
type instantKey struct{ public crypto.PublicKey }

func (k instantKey) Public() crypto.PublicKey { return k.public }

func (k instantKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, 256), nil
}

func TestCertificateSerialOfNothing(t *testing.T) {
	t.Parallel()
	assert.Empty(t, membercard.CertificateSerial(nil))
	assert.Empty(t, membercard.CertificateSerial(&x509.Certificate{}))
}

// slowKey takes its time to sign, as one in a KMS does.
type slowKey struct {
	crypto.Signer
	delay time.Duration
}

func (k slowKey) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	time.Sleep(k.delay)
	return k.Signer.Sign(r, digest, opts)
}

// failingKey fails to sign from some signature on.
type failingKey struct {
	crypto.Signer
	left *int
	err  error
}

func (k failingKey) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if *k.left--; *k.left < 0 {
		return nil, k.err
	}
	return k.Signer.Sign(r, digest, opts)
}

func (k failingKey) Decrypt(io.Reader, []byte, crypto.DecrypterOpts) ([]byte, error) {
	return nil, k.err
}

// TestAKeyThatFails: its error does not look like the end of the caller's context, quotes nothing, and
// does not hide what went wrong before.
func TestAKeyThatFails(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	with := func(left int) *membercard.Client {
		err := fmt.Errorf("kms is busy with %s: %w", openID, context.DeadlineExceeded)
		return newClient(t, server, func(c *membercard.Config) {
			c.PrivateKey = failingKey{c.PrivateKey, &left, err}
			c.Retry.MinBackoff = time.Millisecond
		})
	}
	_, err := with(0).InvalidateUserCard(t.Context(), invalidateRequest)
	assertMatches(t, err, nil, "at once")
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "InvalidateUserCard: not sent: sign with Config.PrivateKey: kms is busy with […]")
	assert.Empty(t, server.Requests())

	server.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 500, Code: "SYSTEM_ERROR", AfterEffect: true})
	var info membercard.ResponseInfo
	_, err = with(1).UpdateUserCard(membercard.WithResponseInfo(t.Context(), &info), updateRequest)
	assertMatches(t, err, []error{membercard.ErrSystem, membercard.ErrOutcomeUnknown}, "later")
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	assert.NotEmpty(t, info.RequestID, "that of the attempt that was made")
	assert.Equal(t, 1, info.Attempts)

	card, err := server.Client().GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	request := updateRequest
	request.PhoneNumber = card.PhoneNumber
	_, err = with(1).UpdateUserCard(t.Context(), request)
	require.NotErrorIs(t, err, membercard.ErrInvalidParameter, "a key out of reach is no fault of the request")
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "PhoneNumber: the value does not decrypt with the merchant key")
	assert.NotContains(t, err.Error(), openID, "whatever the key's error quotes")
}

func TestPreviousKeysOpen(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	card, err := server.Client().GetUserCard(t.Context(), getRequest)
	require.NoError(t, err)
	config := server.Config()
	old := config.PrivateKey.(crypto.Decrypter)
	config.PrivateKey = newKey()
	client, err := membercard.New(config)
	require.NoError(t, err)
	_, err = client.Decrypt(card.PhoneNumber)
	require.ErrorContains(t, err, "another certificate")
	config.PreviousKeys = append(config.PreviousKeys, old)
	client, err = membercard.New(config)
	require.NoError(t, err)
	opened, err := client.Decrypt(card.PhoneNumber)
	require.NoError(t, err)
	assert.Equal(t, phoneNumber, opened)
}
