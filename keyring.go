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
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wechatpay-cards/membercard/internal/apiv3"
)

const (
	publicKeyPrefix = "PUB_KEY_ID_"  // of the ids of public keys; all others are serial numbers of certificates
	certificatesAge = 12 * time.Hour // when platform certificates are downloaded again

	// So that forged serial numbers cause no flood, three downloads within 30 s are enough, for answers and for
	// notifications each: anybody can send a forged notification, and must not use up what an answer needs. Those
	// whose caller gave up, and those of a start without any certificate, follow each other at a second's distance.
	// All share one slot, which a download for a notification holds for 4.5 s at the most.
	downloadsPeriod = 30 * time.Second
	downloadsPause  = time.Second

	// Certificates that are old serve on while others are looked for: one caller waits this long for them,
	// and after a failure nobody for a while.
	refreshTimeout = 2 * time.Second
	refreshPause   = 5 * time.Minute
)

// OperationDownloadCertificates is the client's own download of the platform certificates (下载平台证书). It
// is no method, and [Config].Throttle is not asked for it. 1000 requests a second for each merchant number.
const OperationDownloadCertificates Operation = "DownloadCertificates"

var downloadCertificates = &operation{
	name: OperationDownloadCertificates, method: http.MethodGet,
	path: "/v3/certificates", repeat: read,
}

// keyRing holds WeChat Pay's keys, each under the id that Wechatpay-Serial gives it: the public key, the
// platform certificates (平台证书), or both while a merchant number is switched from these to that.
type keyRing struct {
	public             sealingKey // zero when there is none
	preferCertificates bool
	apiv3Key           string // empty: no certificates
	download           func(context.Context) ([]*x509.Certificate, error)

	certificates atomic.Pointer[certificateSet] // nil until they are needed
	begun        atomic.Int64                   // downloads
	slot         chan struct{}                  // one place: whoever takes it downloads

	// For the holder of the slot.
	recent  [2][3]time.Time // when the last downloads for answers, and for notifications, began
	last    time.Time       // when the last of all did
	lastErr error           // of that one
	gaveUp  bool            // whether its caller went away
}

// origin is what asks for a key.
type origin int

const (
	fromAnswer origin = iota // or a request that is to be sealed
	fromNotification
)

// sealingKey is a key and its id in one value, so that Wechatpay-Serial cannot name another key than
// the one that sealed.
type sealingKey struct {
	id  string
	key *rsa.PublicKey
}

func newKeyRing(config Config, own *rsa.PublicKey) (*keyRing, error) {
	const wanted = "the WeChat Pay public key is pub_key.pem, read with ParsePublicKey, with its id PUB_KEY_ID_..., both from the merchant platform"
	if n := len(config.APIv3Key); n != 0 && n != apiv3.APIv3KeySize {
		return nil, fmt.Errorf("APIv3Key has %d bytes, it must have %d", n, apiv3.APIv3KeySize)
	}
	r := &keyRing{preferCertificates: config.PreferCertificates, apiv3Key: config.APIv3Key, slot: make(chan struct{}, 1)}
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
	key, err := checkPublicKey(config.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("PublicKey %w; %s", err, wanted)
	}
	if key.Equal(own) {
		return nil, fmt.Errorf("PublicKey is the merchant's own key, the public half of PrivateKey; %s", wanted)
	}
	if strings.EqualFold(config.PublicKeyID, config.CertificateSerial) {
		return nil, fmt.Errorf("PublicKeyID is the merchant's own CertificateSerial; %s", wanted)
	}
	r.public = sealingKey{id: config.PublicKeyID, key: &rsa.PublicKey{N: new(big.Int).Set(key.N), E: key.E}}
	return r, nil
}

// seal returns the key to encrypt with, whose id the request names: the public key, or of the
// certificates the newest that is in effect.
func (r *keyRing) seal(ctx context.Context) (sealingKey, error) {
	if r.public.key != nil && !r.preferCertificates {
		return r.public, nil
	}
	set, err := r.current(ctx, "", fromAnswer)
	if newest := set.newest(); newest != nil {
		return sealingKey{id: CertificateSerial(newest), key: newest.PublicKey.(*rsa.PublicKey)}, nil
	}
	if err == nil || errors.Is(err, errLookedUp) {
		err = errors.New("no platform certificate is valid now; check the clock")
	}
	return sealingKey{}, err
}

var (
	errOtherPublicKey = errors.New("configure that key as Config.PublicKey and PublicKeyID")
	errLookedUp       = errors.New("it is not among the platform certificates, which were looked up three times within 30 s")
	errNoAPIv3Key     = errors.New("configure that key; if it is a platform certificate, give Config.APIv3Key and it is downloaded")
)

// configured returns the public key, if it is the one that is named, or why it cannot be a certificate's.
func (r *keyRing) configured(serial string) (*rsa.PublicKey, error) {
	switch {
	case r.public.key != nil && serial == r.public.id:
		return r.public.key, nil
	case strings.HasPrefix(serial, publicKeyPrefix):
		return nil, errOtherPublicKey
	case r.apiv3Key == "":
		return nil, errNoAPIv3Key
	}
	return nil, nil
}

// verify returns the key an answer or a notification says it was signed with, or what is in the way.
func (r *keyRing) verify(ctx context.Context, serial string, from origin) (*rsa.PublicKey, error) {
	if key, err := r.configured(serial); key != nil || err != nil {
		return key, err
	}
	set, err := r.current(ctx, serial, from)
	if key, notValid := set.find(serial); key != nil || notValid != nil {
		return key, notValid
	}
	if err == nil {
		err = errors.New("it is not among the platform certificates of this merchant number")
	}
	return nil, err
}

// verifyDownload is verify for the download of certificates itself, whose signature may be of a
// certificate that is in it. Who knows the APIv3 key has encrypted that.
func (r *keyRing) verifyDownload(serial string, body []byte) (*rsa.PublicKey, error) {
	if key, err := r.configured(serial); key != nil || err != nil {
		return key, err
	}
	if known, _ := r.certificates.Load().find(serial); known != nil {
		return known, nil
	}
	downloaded, err := openCertificates(body, r.apiv3Key)
	if key, notValid := newCertificateSet(downloaded, nil).find(serial); key != nil || notValid != nil {
		return key, notValid
	}
	if err == nil {
		err = errors.New("it is not among the certificates in the answer")
	}
	return nil, err
}

// current returns the certificates, downloaded when there are none, when they are old, or when the one
// that is looked for is not among them. Beside an error it returns those at hand.
func (r *keyRing) current(ctx context.Context, serial string, from origin) (*certificateSet, error) {
	set, seen := r.certificates.Load(), r.begun.Load()
	switch {
	case !set.has(serial):
		if err := ctx.Err(); err != nil {
			return set, err
		}
		select {
		case r.slot <- struct{}{}:
		case <-ctx.Done():
			return set, ctx.Err()
		}
	case time.Since(set.loaded) < certificatesAge:
		return set, nil
	default: // old: one caller sees to it, the others go on
		select {
		case r.slot <- struct{}{}:
		default:
			return set, nil
		}
	}
	defer func() { <-r.slot }()
	if set = r.certificates.Load(); set.has(serial) && time.Since(set.loaded) < certificatesAge {
		return set, nil // somebody was faster
	}
	if r.begun.Load() > seen && !r.gaveUp {
		return set, r.lastErr // of a download that was begun after we came; there is nothing newer
	}
	if !set.has(serial) {
		err := r.load(ctx, from)
		return r.certificates.Load(), err
	}
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	if err := r.load(ctx, from); err != nil { // the old ones do for a while
		r.certificates.Store(&certificateSet{set.listed, set.earlier, time.Now().Add(refreshPause - certificatesAge)})
	}
	return r.certificates.Load(), nil
}

// load downloads the certificates and keeps those at hand that have not expired. Only the holder of the slot
// calls it.
func (r *keyRing) load(ctx context.Context, from origin) error {
	recent := &r.recent[from]
	if r.gaveUp {
		sleep(ctx, time.Until(r.last.Add(downloadsPause)))
		if err := ctx.Err(); err != nil {
			return err
		}
	} else if time.Since(recent[0]) < downloadsPeriod {
		needed := r.certificates.Load() == nil && (r.public.key == nil || r.preferCertificates) // no call can do without
		if !needed || time.Since(recent[2]) < downloadsPause {
			return cmp.Or(r.lastErr, errLookedUp)
		}
	}
	if from == fromNotification { // whose sender may be anybody
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, notificationTimeout)
		defer cancel()
	}
	r.begun.Add(1)
	r.last = time.Now()
	*recent = [3]time.Time{recent[1], recent[2], r.last}
	downloaded, err := r.download(ctx)
	if r.gaveUp = err != nil && ctx.Err() != nil; r.gaveUp {
		return ctx.Err()
	}
	r.lastErr = nil
	if err != nil {
		r.lastErr = errors.New("the platform certificates could not be downloaded: " + downloadFailure(err))
		return r.lastErr
	}
	r.certificates.Store(newCertificateSet(downloaded, r.certificates.Load()))
	return nil
}

// downloadFailure describes a failed download within the error of a call. As text, since certificates that
// were not found must not look like a card that was not found; and without unproven text, which the call
// could not clean of values of its own.
func downloadFailure(err error) string {
	if untrusted, ok := errors.AsType[*SignatureError](err); ok {
		text := fmt.Sprintf("%d: %v: %s", untrusted.StatusCode, ErrSignature, untrusted.Reason)
		if untrusted.cause != nil {
			text += ": " + untrusted.cause.Error()
		}
		return text
	}
	if apiError, ok := errors.AsType[*APIError](err); ok && !apiError.Verified {
		text := fmt.Sprint(apiError.StatusCode)
		if _, known := sentinels[apiError.Code]; known {
			text += " " + apiError.Code
		}
		if apiError.unproven {
			return text + ", whose signature could not be verified"
		}
		return text + ", not signed by WeChat Pay"
	}
	return err.Error()
}

// certificateSet is what was downloaded at one time, and what was before. It is not changed afterwards.
type certificateSet struct {
	listed  map[string]*x509.Certificate // by serial number, with RSA keys
	earlier map[string]*x509.Certificate // no longer listed, and not expired: what was signed with them verifies
	loaded  time.Time
}

// newCertificateSet returns a set of the certificates of a list that follows on another, which may be nil.
func newCertificateSet(certificates []*x509.Certificate, before *certificateSet) *certificateSet {
	set := &certificateSet{map[string]*x509.Certificate{}, map[string]*x509.Certificate{}, time.Now()}
	for _, certificate := range certificates {
		set.listed[CertificateSerial(certificate)] = certificate
	}
	if before == nil {
		return set
	}
	for _, certificates := range []map[string]*x509.Certificate{before.earlier, before.listed} {
		for serial, certificate := range certificates {
			if set.listed[serial] == nil && time.Now().Before(certificate.NotAfter) {
				set.earlier[serial] = certificate
			}
		}
	}
	return set
}

// find returns the key of the certificate with a serial number, an error when it is not valid now, and neither
// when it is not there.
func (s *certificateSet) find(serial string) (*rsa.PublicKey, error) {
	if s == nil {
		return nil, nil
	}
	serial = strings.ToUpper(serial)
	certificate := cmp.Or(s.listed[serial], s.earlier[serial])
	switch {
	case certificate == nil:
		return nil, nil
	case !isValid(certificate):
		return nil, errors.New("that platform certificate is valid " + validity(certificate))
	}
	return certificate.PublicKey.(*rsa.PublicKey), nil
}

// newest returns the certificate of the list that came into effect last, nil when none is valid now.
func (s *certificateSet) newest() *x509.Certificate {
	if s == nil {
		return nil
	}
	var newest *x509.Certificate
	for _, certificate := range s.listed {
		if isValid(certificate) && (newest == nil || certificate.NotBefore.After(newest.NotBefore)) {
			newest = certificate
		}
	}
	return newest
}

// has reports whether the certificate with a serial number is there and valid, or any that can seal when none
// is named.
func (s *certificateSet) has(serial string) bool {
	if serial == "" {
		return s.newest() != nil
	}
	key, _ := s.find(serial)
	return key != nil
}

func isValid(certificate *x509.Certificate) bool {
	now := time.Now()
	return !now.Before(certificate.NotBefore) && now.Before(certificate.NotAfter)
}

// validity says when a certificate is valid.
func validity(certificate *x509.Certificate) string {
	return fmt.Sprintf("from %s to %s only", certificate.NotBefore.In(beijing).Format(time.DateTime), certificate.NotAfter.In(beijing).Format(time.DateTime))
}

func (c *Client) certificatesCall() *preparedCall {
	return &preparedCall{operation: downloadCertificates, uri: downloadCertificates.path, keyID: c.keys.public.id}
}

// downloadCertificates downloads the platform certificates. Its answer is verified like any other.
func (c *Client) downloadCertificates(ctx context.Context) ([]*x509.Certificate, error) {
	a, err := c.send(WithResponseInfo(ctx, nil), c.certificatesCall()) // what the caller is told is about the call
	if err != nil {
		return nil, err
	}
	return openCertificates(a.body, c.keys.apiv3Key)
}

// openCertificates decrypts the answer of the download. One certificate that is of no use does not make
// the others useless.
func openCertificates(body []byte, apiv3Key string) ([]*x509.Certificate, error) {
	var answer struct {
		Data []struct {
			SerialNo           string         `json:"serial_no"`
			EncryptCertificate apiv3.Resource `json:"encrypt_certificate"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("the list of certificates cannot be decoded: %w", err)
	}
	var certificates []*x509.Certificate
	err := errors.New("the list is empty; does the merchant number use the WeChat Pay public key?")
	for i, item := range answer.Data {
		certificate, itemErr := openCertificate(&item.EncryptCertificate, item.SerialNo, apiv3Key)
		if itemErr != nil {
			err = fmt.Errorf("certificate %d of %d: %w", i+1, len(answer.Data), itemErr)
			continue
		}
		certificates = append(certificates, certificate)
	}
	if len(certificates) == 0 {
		return nil, err
	}
	return certificates, nil
}

func openCertificate(resource *apiv3.Resource, serial, apiv3Key string) (*x509.Certificate, error) {
	pem, err := resource.Open(apiv3Key)
	if err != nil {
		return nil, err
	}
	certificate, err := apiv3.ParseCertificate(pem)
	if err != nil {
		return nil, err
	}
	if own := CertificateSerial(certificate); !strings.EqualFold(own, serial) {
		return nil, fmt.Errorf("it has the serial number %s", own)
	}
	if _, err := checkPublicKey(certificate.PublicKey); err != nil {
		return nil, fmt.Errorf("its key %w", err)
	}
	return certificate, nil
}
