package apiv3

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// grace is how long a certificate verifies on after it was no longer listed.
const grace = 24 * time.Hour

// CertificateSet is the platform certificates that were downloaded at one time, and those that were listed shortly
// before. It is not changed after it was made. A nil set has no certificates.
type CertificateSet struct {
	Downloaded time.Time
	listed     map[string]*x509.Certificate // by serial number, with RSA keys
	withdrawn  map[string]withdrawn
}

type withdrawn struct {
	*x509.Certificate
	until time.Time
}

// Follow returns the set of a list that was downloaded now, after the set s. A certificate that is no longer listed
// verifies for a day, and encrypts no more.
func (s *CertificateSet) Follow(list []*x509.Certificate, now time.Time) *CertificateSet {
	next := &CertificateSet{now, map[string]*x509.Certificate{}, map[string]withdrawn{}}
	for _, certificate := range list {
		next.listed[CertificateSerial(certificate)] = certificate
	}
	if s == nil {
		return next
	}
	for serial, old := range s.withdrawn {
		if next.listed[serial] == nil && now.Before(old.until) {
			next.withdrawn[serial] = old
		}
	}
	for serial, certificate := range s.listed {
		if next.listed[serial] == nil {
			next.withdrawn[serial] = withdrawn{certificate, now.Add(grace)}
		}
	}
	return next
}

// Find returns the key of the certificate with a serial number. It is an error when the certificate is not valid now, and both are
// nil when it is not there.
func (s *CertificateSet) Find(serial string, now time.Time) (*rsa.PublicKey, error) {
	if s == nil {
		return nil, nil
	}
	serial = strings.ToUpper(serial)
	certificate := s.listed[serial]
	if old, ok := s.withdrawn[serial]; ok && now.Before(old.until) {
		certificate = old.Certificate
	}
	switch {
	case certificate == nil:
		return nil, nil
	case !valid(certificate, now):
		return nil, errors.New("that platform certificate is valid " + Validity(certificate))
	}
	return certificate.PublicKey.(*rsa.PublicKey), nil
}

// Newest returns the listed certificate that came into effect last, nil when none is valid now.
func (s *CertificateSet) Newest(now time.Time) *x509.Certificate {
	if s == nil {
		return nil
	}
	var newest *x509.Certificate
	for _, certificate := range s.listed {
		if valid(certificate, now) && (newest == nil || certificate.NotBefore.After(newest.NotBefore)) {
			newest = certificate
		}
	}
	return newest
}

func valid(certificate *x509.Certificate, now time.Time) bool {
	return !now.Before(certificate.NotBefore) && now.Before(certificate.NotAfter)
}

// Beijing is the zone of the service's times.
var Beijing = time.FixedZone("UTC+8", 8*60*60)

// Validity says when a certificate is valid.
func Validity(certificate *x509.Certificate) string {
	return fmt.Sprintf("from %s to %s only", certificate.NotBefore.In(Beijing).Format(time.DateTime), certificate.NotAfter.In(Beijing).Format(time.DateTime))
}

// ErrNoCertificates is an empty list.
var ErrNoCertificates = errors.New("the list is empty")

// DecryptCertificates decrypts the answer to a download of platform certificates. One certificate that cannot be used
// does not make the others unusable.
func DecryptCertificates(body []byte, apiv3Key string) ([]*x509.Certificate, error) {
	var answer struct {
		Data []struct {
			SerialNo           string   `json:"serial_no"`
			EncryptCertificate Resource `json:"encrypt_certificate"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("the list of certificates cannot be decoded: %w", err)
	}
	var certificates []*x509.Certificate
	err := ErrNoCertificates
	for i, item := range answer.Data {
		certificate, itemErr := decryptCertificate(&item.EncryptCertificate, item.SerialNo, apiv3Key)
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

func decryptCertificate(resource *Resource, serial, apiv3Key string) (*x509.Certificate, error) {
	pem, err := resource.Decrypt(apiv3Key)
	if err != nil {
		return nil, err
	}
	certificate, err := ParseCertificate(pem)
	if err != nil {
		return nil, err
	}
	if own := CertificateSerial(certificate); !strings.EqualFold(own, serial) {
		return nil, fmt.Errorf("it has the serial number %s", own)
	}
	if _, err := CheckPublicKey(certificate.PublicKey); err != nil {
		return nil, fmt.Errorf("its key %w", err)
	}
	return certificate, nil
}
