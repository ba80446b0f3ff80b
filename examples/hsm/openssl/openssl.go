// Package openssl has an RSA key that OpenSSL's libcrypto computes with: the same signatures as crypto/rsa makes, with less
// CPU. libcrypto is loaded when the program runs; building needs cgo and no header of OpenSSL's.
package openssl

import (
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/golang-fips/openssl/v2"
	"github.com/golang-fips/openssl/v2/bbig"
)

// Key is a crypto.Signer and a crypto.Decrypter, for membercard.Config.PrivateKey.
type Key struct {
	public  *rsa.PublicKey
	private *openssl.PrivateKeyRSA
}

var load = sync.OnceValue(func() error { return openssl.Init("libcrypto.so.3") })

// NewKey hands a key to OpenSSL.
func NewKey(key *rsa.PrivateKey) (*Key, error) {
	if err := load(); err != nil {
		return nil, fmt.Errorf("load libcrypto.so.3 (Debian package libssl3): %w", err)
	}
	if len(key.Primes) != 2 {
		return nil, errors.New("the key has not two primes")
	}
	key.Precompute()
	e := openssl.BigInt{uint(key.E)}
	private, err := openssl.NewPrivateKeyRSA(
		bbig.Enc(key.N), e, bbig.Enc(key.D), bbig.Enc(key.Primes[0]), bbig.Enc(key.Primes[1]),
		bbig.Enc(key.Precomputed.Dp), bbig.Enc(key.Precomputed.Dq), bbig.Enc(key.Precomputed.Qinv))
	if err != nil {
		return nil, err
	}
	return &Key{&key.PublicKey, private}, nil
}

// Public returns the public half.
func (k *Key) Public() crypto.PublicKey { return k.public }

// Sign makes a signature with RSA PKCS #1 v1.5, as WeChat Pay wants it.
func (k *Key) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, pss := opts.(*rsa.PSSOptions); pss {
		return nil, errors.New("only RSA PKCS #1 v1.5")
	}
	return openssl.SignRSAPKCS1v15(k.private, opts.HashFunc(), digest)
}

// Decrypt decrypts OAEP with SHA-1, as WeChat Pay encrypts.
func (k *Key) Decrypt(_ io.Reader, ciphertext []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	oaep, ok := opts.(*rsa.OAEPOptions)
	if !ok || oaep.Hash != crypto.SHA1 {
		return nil, errors.New("only OAEP with SHA-1")
	}
	return openssl.DecryptRSAOAEP(openssl.NewSHA1(), openssl.NewSHA1(), k.private, ciphertext, oaep.Label)
}
