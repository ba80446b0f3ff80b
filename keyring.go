package membercard

import (
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatpay-cards/membercard/internal/apiv3"
)

const (
	publicKeyPrefix = "PUB_KEY_ID_"  // of the ids of public keys; all others are serial numbers of certificates
	certificatesAge = 12 * time.Hour // when platform certificates are downloaded again
	downloadTimeout = 5 * time.Second

	// Forged serial numbers must cause no flood: downloads follow each other at this distance, for answers and for
	// notifications each, as anybody can send a forged notification. The second one holds while there is no certificate.
	downloadSpacing = 10 * time.Second
	startSpacing    = time.Second
)

// keyRing holds WeChat Pay's keys, each under the id that Wechatpay-Serial gives it: the public key, the
// platform certificates (平台证书), or both while a merchant number is switched from these to that.
type keyRing struct {
	public             platformKey // zero when there is none
	preferCertificates bool
	certificateKey     secret // the APIv3 key; nil: no certificates
	client             *Client

	certificates atomic.Pointer[apiv3.CertificateSet] // nil until they are needed
	downloads    chan downloadState                   // of one place: who holds the state may download
}

// downloadState is the state of the downloads. Who took it out of keyRing.downloads may download.
type downloadState struct {
	started time.Time    // the last one
	err     error        // of it
	next    [2]time.Time // not before: for answers, for notifications
}

// origin is what asks for a key.
type origin int

const (
	fromAnswer origin = iota // or a request that is to be encrypted
	fromNotification
)

// platformKey is a key and its id in one value, so that Wechatpay-Serial cannot name another key than
// the one that encrypted.
type platformKey struct {
	id  string
	key *rsa.PublicKey
}

// secret is a key that fmt does not print with the fields of a Client, whatever the verb: of a function it prints the address.
type secret func() string

// newSecret returns nil for an empty text.
func newSecret(text string) secret {
	if text == "" {
		return nil
	}
	return func() string { return text }
}

// text returns "" for nil.
func (s secret) text() string {
	if s == nil {
		return ""
	}
	return s()
}

func newKeyRing(config *Config, own *rsa.PublicKey, client *Client) (*keyRing, error) {
	const wanted = "the WeChat Pay public key is pub_key.pem, read with ParsePublicKey, with its id PUB_KEY_ID_... (LoadConfig reads it from public_key_id.txt), both from the merchant platform"
	if strings.ContainsFunc(config.APIv3Key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("APIv3Key holds white space or another character that does not belong there")
	}
	if n := len(config.APIv3Key); n != 0 && n != apiv3.APIv3KeySize {
		return nil, fmt.Errorf("APIv3Key has %d bytes, it must have %d", n, apiv3.APIv3KeySize)
	}
	r := &keyRing{preferCertificates: config.PreferCertificates, client: client, downloads: make(chan downloadState, 1)}
	r.downloads <- downloadState{}
	if client.edition.certificates {
		r.certificateKey = newSecret(config.APIv3Key)
	}
	switch {
	case config.PreferCertificates && config.APIv3Key == "":
		return nil, errors.New("PreferCertificates needs APIv3Key, with which platform certificates are downloaded")
	case config.PublicKey == nil && config.PublicKeyID == "" && config.APIv3Key != "":
		return r, nil
	case config.PublicKey == nil && config.PublicKeyID == "":
		return nil, fmt.Errorf("PublicKey and PublicKeyID are missing; %s; a merchant number that still uses platform certificates needs APIv3Key instead", wanted)
	case config.PublicKey == nil:
		return nil, fmt.Errorf("PublicKeyID is given without PublicKey; %s", wanted)
	case config.PublicKeyID == "":
		return nil, fmt.Errorf("PublicKey is given without PublicKeyID; %s", wanted)
	}
	if err := checkID("PublicKeyID", config.PublicKeyID, "the id beside the WeChat Pay public key"); err != nil {
		return nil, err
	}
	key, err := apiv3.CheckPublicKey(config.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("PublicKey %w; %s", err, wanted)
	}
	if key.Equal(own) {
		return nil, fmt.Errorf("PublicKey is the merchant's own key, the public half of PrivateKey; %s", wanted)
	}
	if strings.EqualFold(config.PublicKeyID, config.CertificateSerial) {
		return nil, fmt.Errorf("PublicKeyID is the merchant's own CertificateSerial; %s", wanted)
	}
	r.public = platformKey{id: config.PublicKeyID, key: &rsa.PublicKey{N: new(big.Int).Set(key.N), E: key.E}}
	return r, nil
}

// encryptionKey returns the key to encrypt with, whose id the request names: the public key, or of the
// certificates the newest that is in effect.
func (r *keyRing) encryptionKey(ctx context.Context) (platformKey, error) {
	if r.public.key != nil && !r.preferCertificates {
		return r.public, nil
	}
	set, err := r.current(ctx, fromAnswer, func(set *apiv3.CertificateSet) bool { return set.Newest(time.Now()) != nil })
	if newest := set.Newest(time.Now()); newest != nil {
		return platformKey{id: CertificateSerial(newest), key: newest.PublicKey.(*rsa.PublicKey)}, nil
	}
	if err == nil || errors.Is(err, errJustDownloaded) {
		err = errors.New("no platform certificate is valid now; check the clock")
	}
	return platformKey{}, err
}

// configured returns the public key, if it is the one that is named, or why it cannot be a certificate's.
func (r *keyRing) configured(serial string) (*rsa.PublicKey, error) {
	switch {
	case r.public.key != nil && serial == r.public.id:
		return r.public.key, nil
	case strings.HasPrefix(serial, publicKeyPrefix):
		return nil, errOtherPublicKey
	case !r.client.edition.certificates:
		return nil, errNoCertificates
	case r.certificateKey == nil:
		return nil, errNoAPIv3Key
	}
	return nil, nil
}

// verifyAnswer finds the key of an answer.
func (r *keyRing) verifyAnswer(ctx context.Context, serial string, _ answer) (*rsa.PublicKey, error) {
	return r.verificationKey(ctx, serial, fromAnswer)
}

// verificationKey returns the key an answer or a notification says it was signed with, or what is in the way.
func (r *keyRing) verificationKey(ctx context.Context, serial string, from origin) (*rsa.PublicKey, error) {
	if key, err := r.configured(serial); key != nil || err != nil {
		return key, err
	}
	set, err := r.current(ctx, from, func(set *apiv3.CertificateSet) bool {
		key, _ := set.Find(serial, time.Now())
		return key != nil
	})
	if key, notValid := set.Find(serial, time.Now()); key != nil || notValid != nil {
		return key, notValid
	}
	if err == nil {
		err = errUnknownSerial
	}
	return nil, err
}

// verifyDownload finds the key of a download of certificates, whose signature may be of a certificate that is in it.
// Who knows the APIv3 key has encrypted that.
func (r *keyRing) verifyDownload(_ context.Context, serial string, got answer) (*rsa.PublicKey, error) {
	if key, err := r.configured(serial); key != nil || err != nil {
		return key, err
	}
	if known, _ := r.certificates.Load().Find(serial, time.Now()); known != nil {
		return known, nil
	}
	if !got.isSuccess() { // an error brings none
		return nil, errNoKeyYet
	}
	list, err := apiv3.DecryptCertificates(got.body, r.certificateKey.text())
	var none *apiv3.CertificateSet
	if key, notValid := none.Follow(list, time.Now()).Find(serial, time.Now()); key != nil || notValid != nil {
		return key, notValid
	}
	if err == nil {
		err = errNotInDownload
	}
	return nil, err
}

// current returns the certificates. It downloads them when there is none that suffices, which the caller waits for, and
// when they are old, which nobody waits for. Beside an error it returns those there are.
func (r *keyRing) current(ctx context.Context, from origin, suffices func(*apiv3.CertificateSet) bool) (*apiv3.CertificateSet, error) {
	set, arrived := r.certificates.Load(), time.Now()
	if suffices(set) {
		if arrived.Sub(set.Downloaded) >= certificatesAge {
			r.refresh(ctx, from)
		}
		return set, nil
	}
	if err := ctx.Err(); err != nil {
		return set, err
	}
	var d downloadState
	select {
	case d = <-r.downloads:
	case <-ctx.Done():
		return set, ctx.Err()
	}
	if set = r.certificates.Load(); suffices(set) || !d.started.Before(arrived) { // somebody was faster
		r.downloads <- d
		return set, d.err
	}
	if wait := time.Until(d.next[from]); wait > 0 {
		var err error
		if r.isStarting() {
			sleep(ctx, wait)
			err = ctx.Err()
		} else {
			err = cmp.Or(d.err, errJustDownloaded)
		}
		if err != nil {
			r.downloads <- d
			return set, err
		}
	}
	select {
	case err := <-r.startDownload(ctx, d, from):
		return r.certificates.Load(), err
	case <-ctx.Done():
		return set, ctx.Err()
	}
}

// isStarting reports whether there is no certificate yet, and no call can do without.
func (r *keyRing) isStarting() bool {
	return r.certificates.Load() == nil && (r.public.key == nil || r.preferCertificates)
}

// refresh downloads certificates that are old, unless somebody does, or did a moment ago.
func (r *keyRing) refresh(ctx context.Context, from origin) {
	select {
	case d := <-r.downloads:
		if time.Now().Before(d.next[from]) {
			r.downloads <- d
			return
		}
		r.startDownload(ctx, d, from)
	default:
	}
}

// startDownload begins a download, and gives the state back when it ends. The download outlives the caller, so that callers
// with little time do not begin it in vain for ever; it ends within downloadTimeout.
func (r *keyRing) startDownload(ctx context.Context, d downloadState, from origin) <-chan error {
	spacing := downloadSpacing
	if r.isStarting() {
		spacing = startSpacing
	}
	d.started = time.Now()
	d.next[from] = d.started.Add(spacing)
	ended := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), downloadTimeout)
	var once sync.Once
	end := func(err error) {
		once.Do(func() {
			d.err = err
			r.downloads <- d
			ended <- err
		})
	}
	late := time.AfterFunc(downloadTimeout+time.Second, func() { end(errDownloadHangs) })
	go func() {
		err := errDownloadBroken
		defer func() {
			_ = recover() // a panic in the user's transport, signer or logger: nobody else could recover it here
			late.Stop()
			cancel()
			end(err)
		}()
		err = r.download(ctx)
	}()
	return ended
}

// download downloads the certificates and keeps them.
func (r *keyRing) download(ctx context.Context) error {
	end := r.client.send(WithResponseInfo(ctx, nil), r.downloadRequest(), nil) // what the caller is told is about the call
	err := end.err
	var certificates []*x509.Certificate
	if err == nil {
		certificates, err = apiv3.DecryptCertificates(end.last.answer.body, r.certificateKey.text())
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("the platform certificates could not be downloaded: no complete answer came within %v", downloadTimeout)
	case err != nil:
		return errors.New("the platform certificates could not be downloaded: " + downloadFailure(withAdvice(err)))
	}
	r.add(certificates)
	return nil
}

// add adds a list that was downloaded and verified.
func (r *keyRing) add(list []*x509.Certificate) {
	for {
		set := r.certificates.Load()
		if r.certificates.CompareAndSwap(set, set.Follow(list, time.Now())) {
			return
		}
	}
}

// certificateList is the answer to a download.
type certificateList struct {
	Data []json.RawMessage `json:"data"`
}

func (r *keyRing) downloadRequest() *request {
	return &request{
		operation: downloadCertificates.operation, template: downloadCertificates.path, uri: downloadCertificates.path, keyID: r.public.id,
		retry:    r.client.retry,
		timeout:  min(r.client.attemptTimeout, downloadTimeout*7/10), // leaves time for the backup host
		verifier: (*keyRing).verifyDownload,
	}
}
