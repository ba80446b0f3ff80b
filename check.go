package membercard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/wechatpay-cards/membercard/internal/apiv3"
)

const (
	clockTolerance = time.Minute         // what a clock may be off before it is worth a word
	expiryNotice   = 30 * 24 * time.Hour // before the merchant certificate expires
)

// Finding is one thing that [Client.Check] looked at.
type Finding struct {
	Subject string // what was looked at: a field of [Config], the clock, the service
	OK      bool
	Text    string // what was found and, when it is not OK, what to do; fit to print
}

// String returns the finding on one line.
func (f Finding) String() string {
	mark := "ok     "
	if !f.OK {
		mark = "PROBLEM"
	}
	return mark + " " + f.Subject + ": " + f.Text
}

// Check looks at the configuration and makes one signed read, the download of the platform certificates,
// which every merchant number may make. It is for the start of a program or a doctor's command: when
// everything is OK, the service accepts this client's signatures and this client can verify the answers.
// Permissions for the product show only when a method is called.
func (c *Client) Check(ctx context.Context) []Finding {
	findings := []Finding{c.checkCertificate()}
	p := c.certificatesCall()
	var a *answer
	for range 2 { // a probe is answered properly the second time
		a = &answer{attempts: 1}
		if err := c.sign(ctx, p, a); err != nil {
			text := p.describe(ctx, a, "not sent", err).Error()
			if ctx.Err() != nil {
				return append(findings, Finding{"service", false, text})
			}
			return append(findings, Finding{"PrivateKey", false, text + "; if the key is in an HSM or KMS, look whether it can be reached and may sign with RSA PKCS #1 v1.5 and SHA-256"})
		}
		c.exchange(ctx, p, a)
		if untrusted, ok := errors.AsType[*SignatureError](a.err); !ok || untrusted.Reason != ReasonProbe {
			break
		}
	}
	if ctx.Err() != nil {
		return append(findings, Finding{"service", false, a.err.Error()})
	}
	service := checkService(a)
	findings = append(findings, service, c.checkPlatformKey(a, service.OK), c.checkAPIv3Key(a))
	if !a.date.IsZero() {
		findings = append(findings, checkClock(a.date))
	}
	return findings
}

// checkCertificate looks at the merchant's certificate. [New] has made sure that it belongs to the key.
func (c *Client) checkCertificate() Finding {
	const subject = "Certificate"
	if c.certificate == nil {
		return Finding{subject, true, "not given, so whether PrivateKey and CertificateSerial belong together is for the service to say"}
	}
	expiry := c.certificate.NotAfter.In(beijing).Format(time.DateOnly)
	switch left := time.Until(c.certificate.NotAfter); {
	case left <= 0:
		return Finding{subject, false, "expired on " + expiry + "; apply for a new one on the merchant platform and use its key and serial number"}
	case time.Now().Before(c.certificate.NotBefore):
		return Finding{subject, false, "is valid " + validity(c.certificate) + "; check the clock"}
	case left < expiryNotice:
		return Finding{subject, false, "expires on " + expiry + "; apply for a new one on the merchant platform now"}
	}
	return Finding{subject, true, "belongs to PrivateKey and CertificateSerial, expires on " + expiry}
}

// checkService says whether the service accepted the signature.
func checkService(a *answer) Finding {
	const subject = "service"
	apiError, refused := errors.AsType[*APIError](a.err)
	switch {
	case a.status == 0:
		return Finding{subject, false, a.err.Error() + "; look at DNS, firewall and proxy on the way to " + a.host}
	case refused && apiError.Code == "" && a.status >= 300:
		return Finding{subject, false, a.err.Error() + "; something between here and WeChat Pay answered, or BaseURL is not WeChat Pay's"}
	case a.status == http.StatusUnauthorized:
		return Finding{subject, false, a.err.Error() + "; MchID, CertificateSerial and PrivateKey must be of one merchant number, the certificate the one in use, and the clock right"}
	case errors.Is(a.err, ErrSignature):
		return Finding{subject, true, "answers; whether it is WeChat Pay is the next question"}
	case a.err == nil, errors.Is(a.err, ErrNotFound): // there are no certificates where there is a public key
		return Finding{subject, true, "accepts the signature of MchID and PrivateKey"}
	}
	return Finding{subject, false, a.err.Error()}
}

// checkPlatformKey says whether the answer could be verified. accepted: it should have been signed.
func (c *Client) checkPlatformKey(a *answer, accepted bool) Finding {
	subject := "PublicKey"
	if c.keys.public.key == nil {
		subject = "platform certificates"
	}
	untrusted, _ := errors.AsType[*SignatureError](a.err)
	switch {
	case errors.Is(a.err, ErrNotFound) && c.keys.public.key == nil:
		return Finding{subject, false, "there are none; does this merchant number use the WeChat Pay public key? Then give PublicKey and PublicKeyID"}
	case errors.Is(a.err, ErrNotFound) && c.keys.preferCertificates:
		return Finding{subject, false, "PreferCertificates is set, but this merchant number has no platform certificates; leave it out"}
	case a.verified && c.keys.public.key != nil && a.serial != c.keys.public.id:
		return Finding{subject, true, "could not be tried: WeChat Pay signs with platform certificates, the switch to the public key has not begun. If calls with sensitive values are refused, set PreferCertificates until it has"}
	case a.verified:
		return Finding{subject, true, "verifies what WeChat Pay signs"}
	case untrusted == nil:
		return Finding{subject, !accepted, "could not be tried: the answer was not signed"}
	case errors.Is(untrusted, apiv3.ErrAPIv3Key):
		return Finding{subject, false, "could not be opened, see APIv3Key"}
	case untrusted.Reason == ReasonStaleClock:
		return Finding{subject, false, untrusted.Error()}
	case untrusted.Reason == ReasonUnknownSerial && strings.HasPrefix(untrusted.Serial, publicKeyPrefix):
		return Finding{subject, false, fmt.Sprintf("WeChat Pay signs with %.80q: give that public key and its id, which both stand on the merchant platform", untrusted.Serial)}
	case untrusted.Reason == ReasonMismatch && c.keys.public.key != nil:
		return Finding{subject, false, untrusted.Error() + "; PublicKey is not the key that PublicKeyID names: use the pub_key.pem and the id of one merchant number"}
	}
	return Finding{subject, false, untrusted.Error()}
}

// checkAPIv3Key tries the key on the certificates.
func (c *Client) checkAPIv3Key(a *answer) Finding {
	const subject = "APIv3Key"
	if c.keys.apiv3Key == "" {
		return Finding{subject, true, "not given; notifications and platform certificates need it"}
	}
	err := a.err
	if a.verified && a.status == http.StatusOK {
		if _, err = openCertificates(a.body, c.keys.apiv3Key); err == nil {
			return Finding{subject, true, "opens what WeChat Pay encrypts"}
		}
	}
	if errors.Is(err, apiv3.ErrAPIv3Key) {
		return Finding{subject, false, "is not that of this merchant number: the platform certificates do not decrypt with it. Set it anew on the merchant platform if it is lost; the old one ends at once"}
	}
	return Finding{subject, true, "has the right length; there was nothing to try it on, the first notification will show"}
}

// checkClock compares this machine's clock with the service's.
func checkClock(date time.Time) Finding {
	const subject = "clock"
	skew := time.Since(date).Round(time.Second)
	side := "ahead of"
	if skew < 0 {
		side = "behind"
	}
	text := fmt.Sprintf("%v %s the service's", skew.Abs(), side)
	switch {
	case skew.Abs() >= clockWindow:
		return Finding{subject, false, text + ": beyond the 5 minutes that signatures allow. Set it, and keep it right with NTP"}
	case skew.Abs() >= clockTolerance:
		return Finding{subject, false, text + ": signatures fail at 5 minutes. Keep it right with NTP"}
	}
	return Finding{subject, true, text}
}
