package membercard_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/gob"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

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
	assert.Equal(t, phone, opened)
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
