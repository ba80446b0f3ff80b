package membercard

import (
	"context"
	"crypto/tls"
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
	Subject string // what was looked at: a field of Config, the clock, the service
	OK      bool   // whether there is nothing to be done
	Untried bool   // whether it could not be tried; it is OK as far as is known
	Text    string // what was found and, when it is not OK, what to do; fit to print
}

// String returns the finding on one line.
func (f Finding) String() string {
	mark := "ok     "
	switch {
	case !f.OK:
		mark = "PROBLEM"
	case f.Untried:
		mark = "untried"
	}
	return mark + " " + f.Subject + ": " + f.Text
}

func good(subject, text string) Finding { return Finding{Subject: subject, OK: true, Text: text} }
func untried(subject, text string) Finding {
	return Finding{Subject: subject, OK: true, Untried: true, Text: text}
}
func problem(subject, text string) Finding { return Finding{Subject: subject, Text: text} }

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
				return append(findings, problem("service", text))
			}
			return append(findings, problem("PrivateKey", text+"; if the key is in an HSM or KMS, look whether it can be reached and may sign with RSA PKCS #1 v1.5 and SHA-256"))
		}
		c.exchange(ctx, p, a)
		if untrusted, ok := errors.AsType[*SignatureError](a.err); !ok || untrusted.Reason != ReasonProbe {
			break
		}
	}
	service := c.checkService(a)
	findings = append(findings, service)
	_, refused := errors.AsType[*APIError](a.err)
	if a.err == nil || refused || errors.Is(a.err, ErrSignature) { // there is a whole answer
		findings = append(findings, c.checkPlatformKey(a, service.OK), c.checkAPIv3Key(a))
	}
	if !a.date.IsZero() {
		findings = append(findings, checkClock(a.date))
	}
	return findings
}

// checkCertificate looks at the merchant's certificate. [New] has made sure that it belongs to the key.
func (c *Client) checkCertificate() Finding {
	const subject = "Certificate"
	if c.certificate == nil {
		return untried(subject, "not given, so whether PrivateKey and CertificateSerial belong together is for the service to say")
	}
	expiry := c.certificate.NotAfter.In(beijing).Format(time.DateOnly)
	switch left := time.Until(c.certificate.NotAfter); {
	case left <= 0:
		return problem(subject, "expired on "+expiry+"; apply for a new one on the merchant platform and use its key and serial number")
	case time.Now().Before(c.certificate.NotBefore):
		return problem(subject, "is valid "+validity(c.certificate)+"; check the clock")
	case left < expiryNotice:
		return problem(subject, "expires on "+expiry+"; apply for a new one on the merchant platform now")
	}
	return good(subject, "belongs to PrivateKey and CertificateSerial, expires on "+expiry)
}

// noCertificates reports whether the service said that the merchant number has no platform certificates, as it
// does where there is a public key.
func noCertificates(a *answer) bool {
	apiError, refused := errors.AsType[*APIError](a.err)
	return refused && apiError.StatusCode == http.StatusNotFound && apiError.Code == "RESOURCE_NOT_EXISTS"
}

// checkService says whether the service accepted the signature.
func (c *Client) checkService(a *answer) Finding {
	const subject = "service"
	apiError, refused := errors.AsType[*APIError](a.err)
	_, badCertificate := errors.AsType[*tls.CertificateVerificationError](a.err)
	switch {
	case errors.Is(a.err, context.Canceled), errors.Is(a.err, context.DeadlineExceeded): // the caller's own
		return problem(subject, a.err.Error())
	case badCertificate:
		return problem(subject, a.err.Error()+"; is this machine's clock right, or does a proxy put its own certificate in between?")
	case a.status == 0:
		return problem(subject, a.err.Error()+"; look at DNS, firewall and proxy on the way to "+a.host)
	case refused && apiError.Code == "" && a.status >= 300 && !a.verified:
		return problem(subject, a.err.Error()+"; something between here and WeChat Pay answered, or BaseURL is not WeChat Pay's")
	case a.status == http.StatusUnauthorized && c.certificate != nil:
		return problem(subject, a.err.Error()+"; PrivateKey and Certificate belong together, so MchID is that of another merchant number, the certificate is no longer in use, or the clock is wrong")
	case a.status == http.StatusUnauthorized: // the error says what to look at
		return problem(subject, a.err.Error())
	case errors.Is(a.err, ErrSignature):
		return untried(subject, "answers; whether it is WeChat Pay is the next question")
	case a.err == nil, noCertificates(a):
		return good(subject, "accepts the signature of MchID and PrivateKey")
	case errors.Is(a.err, ErrNotFound):
		return problem(subject, a.err.Error()+"; the service does not know this address: does BaseURL have a path?")
	}
	return problem(subject, a.err.Error())
}

// checkPlatformKey says whether the answer could be verified. accepted: it should have been signed.
func (c *Client) checkPlatformKey(a *answer, accepted bool) Finding {
	subject := "PublicKey"
	if c.keys.public.key == nil {
		subject = "platform certificates"
	}
	unverified, _ := errors.AsType[*SignatureError](a.err)
	switch {
	case noCertificates(a) && c.keys.public.key == nil:
		return problem(subject, "there are none; does this merchant number use the WeChat Pay public key? Then give PublicKey and PublicKeyID")
	case noCertificates(a) && c.keys.preferCertificates:
		return problem(subject, "PreferCertificates is set, but this merchant number has no platform certificates; leave it out")
	case a.verified && c.keys.preferCertificates && a.serial != c.keys.public.id:
		return good("platform certificates", "verify what WeChat Pay signs, as PreferCertificates wants")
	case a.verified && c.keys.public.key != nil && a.serial != c.keys.public.id:
		return untried(subject, "WeChat Pay signs with platform certificates, the switch to the public key has not begun. If calls with sensitive values are refused, set PreferCertificates until it has")
	case a.verified:
		return good(subject, "verifies what WeChat Pay signs")
	case a.unproven:
		return untried(subject, "the answer is an error, signed with a platform certificate that is not at hand")
	case unverified == nil && accepted:
		return problem(subject, "could not be tried: the answer was not signed. Does a proxy remove the Wechatpay- headers, or does somebody else answer?")
	case unverified == nil:
		return untried(subject, "the answer was not signed")
	case errors.Is(unverified, apiv3.ErrAPIv3Key):
		return problem(subject, "could not be opened, see APIv3Key")
	case unverified.Reason == ReasonStaleClock && unverified.Skew < 0 && !a.date.IsZero() && time.Since(a.date).Abs() < clockWindow:
		return problem(subject, unverified.Error()+"; the answer's Date agrees with this machine's clock, so its signature is an old one: does a cache or a proxy keep answers?")
	case unverified.Reason == ReasonStaleClock:
		return problem(subject, unverified.Error())
	case unverified.Reason == ReasonUnknownSerial && strings.HasPrefix(unverified.Serial, publicKeyPrefix):
		return problem(subject, fmt.Sprintf("WeChat Pay signs with %.80q: give that public key and its id, which both stand on the merchant platform", unverified.Serial))
	case unverified.Reason == ReasonMismatch && c.keys.public.key != nil:
		return problem(subject, unverified.Error()+"; PublicKey is not the key that PublicKeyID names: use the pub_key.pem and the id of one merchant number")
	}
	return problem(subject, unverified.Error())
}

// checkAPIv3Key tries the key on the certificates.
func (c *Client) checkAPIv3Key(a *answer) Finding {
	const subject = "APIv3Key"
	if c.keys.apiv3Key == "" {
		return untried(subject, "not given; notifications and platform certificates need it")
	}
	err := a.err
	if a.verified && a.status == http.StatusOK {
		if _, err = openCertificates(a.body, c.keys.apiv3Key); err == nil {
			return good(subject, "opens what WeChat Pay encrypts")
		}
	}
	if errors.Is(err, apiv3.ErrAPIv3Key) {
		return problem(subject, "is not that of this merchant number: the platform certificates do not decrypt with it. Set it anew on the merchant platform if it is lost; the old one ends at once")
	}
	return untried(subject, "has the right length; there was nothing to try it on, the first notification will show")
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
		return problem(subject, text+": beyond the 5 minutes that signatures allow. Set it, and keep it right with NTP")
	case skew.Abs() >= clockTolerance:
		return problem(subject, text+": signatures fail at 5 minutes. Keep it right with NTP")
	}
	return good(subject, text)
}
