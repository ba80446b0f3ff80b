package membercard

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
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

func okFinding(subject, text string) Finding { return Finding{Subject: subject, OK: true, Text: text} }

func untriedFinding(subject, text string) Finding {
	return Finding{Subject: subject, OK: true, Untried: true, Text: text}
}
func problemFinding(subject, text string) Finding { return Finding{Subject: subject, Text: text} }

// Check looks at the configuration and makes two calls that every merchant number may make: the download of the platform
// certificates, and [Client.SecurityEcho] with an encrypted value. In the brand edition it reads one page of templates instead.
// It is for the start of a program, or for a command that diagnoses: when everything is OK, the service accepts this client's
// signatures, this client can verify the answers, and each decrypts what the other encrypts. The client keeps the certificates.
// Permissions for the product show only when a method is called.
func (c *Client) Check(ctx context.Context) []Finding {
	findings := []Finding{c.checkCertificate()}
	r, err := c.edition.checkRequest(ctx, c)
	if err != nil {
		return append(findings, problemFinding("service", err.Error()))
	}
	var v verdict
	for range 2 { // a probe is answered properly the second time
		a, err := c.sign(ctx, r, nil)
		if err != nil {
			text := notSentError(ctx, r.operation, nil, err).Error()
			switch {
			case ctx.Err() != nil:
				return append(findings, problemFinding("service", text))
			case errors.Is(err, errThrottle):
				return append(findings, problemFinding("Throttle", text))
			}
			return append(findings, problemFinding("PrivateKey", text+"; if the key is in an HSM or KMS, look whether it can be reached and may sign with RSA PKCS #1 v1.5 and SHA-256"))
		}
		v = c.try(ctx, a)
		if v.err == nil && c.edition.certificates {
			if list, err := apiv3.DecryptCertificates(v.answer.body, c.keys.certificateKey.text()); err == nil {
				c.keys.add(list)
			}
		}
		if untrusted, ok := errors.AsType[*SignatureError](v.err); !ok || untrusted.Reason != ReasonProbe {
			break
		}
	}
	service := c.checkService(v)
	findings = append(findings, service)
	_, refused := errors.AsType[*APIError](v.err)
	if v.err == nil || refused || errors.Is(v.err, ErrSignature) { // there is a whole answer
		findings = append(findings, c.checkPlatformKey(v, service.OK), c.checkAPIv3Key(v))
	}
	if !v.answer.date().IsZero() {
		findings = append(findings, checkClock(v.answer.date()))
	}
	if service.OK {
		explained := slices.ContainsFunc(findings[1:], func(f Finding) bool { return !f.OK }) // the first is of the Certificate
		findings = append(findings, c.checkEncryption(ctx, explained))
	}
	return findings
}

// checkEncryption has the service echo a value that is encrypted both ways. explained: another finding says why answers do not verify.
func (c *Client) checkEncryption(ctx context.Context, explained bool) Finding {
	const subject = "encryption"
	const message = "membercard"
	echo, err := c.SecurityEcho(ctx, SecurityEchoRequest{EchoMessage: message, EncryptedEchoMessage: NewSensitive(message)})
	if err != nil {
		apiError, answered := errors.AsType[*APIError](err)
		untrusted, _ := errors.AsType[*SignatureError](err)
		switch {
		case errors.Is(err, errThrottle) && ctx.Err() == nil:
			return problemFinding("Throttle", err.Error())
		case untrusted != nil && untrusted.Reason != ReasonProbe && !explained:
			return problemFinding(subject, err.Error())
		case answered && apiError.Verified && errors.Is(err, ErrInvalidParameter):
			return problemFinding(subject, err.Error()+"; is PublicKey that of PublicKeyID?")
		case answered && apiError.Verified && !errors.Is(err, ErrRateLimited) && !errors.Is(err, ErrSystem):
			return problemFinding(subject, err.Error())
		}
		return untriedFinding(subject, err.Error())
	}
	switch text, err := c.Decrypt(echo.EncryptedEchoMessage); {
	case err != nil:
		return problemFinding(subject, "what WeChat Pay encrypts for the merchant does not decrypt: "+err.Error()+"; is PrivateKey that of the certificate in use, or does another belong into PreviousKeys?")
	case text != message:
		return problemFinding(subject, "WeChat Pay has echoed another text than it was sent")
	}
	return okFinding(subject, "WeChat Pay decrypts what is encrypted for it, and this client what WeChat Pay encrypts")
}

// checkCertificate looks at the merchant's certificate. [New] has made sure that it belongs to the key.
func (c *Client) checkCertificate() Finding {
	const subject = "Certificate"
	if c.certificate == nil {
		return untriedFinding(subject, "not given, so whether PrivateKey and CertificateSerial belong together is for the service to say")
	}
	expiry := c.certificate.NotAfter.In(apiv3.Beijing).Format(time.DateOnly)
	switch left := time.Until(c.certificate.NotAfter); {
	case left <= 0:
		return problemFinding(subject, "expired on "+expiry+"; apply for a new one on the "+c.edition.platform+" and use its key and serial number")
	case time.Now().Before(c.certificate.NotBefore):
		return problemFinding(subject, "is valid "+apiv3.Validity(c.certificate)+"; check the clock")
	case left < expiryNotice:
		return problemFinding(subject, "expires on "+expiry+"; apply for a new one on the "+c.edition.platform+" now")
	}
	return okFinding(subject, "belongs to PrivateKey and CertificateSerial, expires on "+expiry)
}

// noCertificates reports whether the service said that the merchant number has no platform certificates, as it
// does where there is a public key.
func noCertificates(v verdict) bool {
	apiError, refused := errors.AsType[*APIError](v.err)
	return refused && apiError.StatusCode == http.StatusNotFound && apiError.Code == "RESOURCE_NOT_EXISTS"
}

// checkService says whether the service accepted the signature.
func (c *Client) checkService(v verdict) Finding {
	const subject = "service"
	apiError, refused := errors.AsType[*APIError](v.err)
	_, badCertificate := errors.AsType[*tls.CertificateVerificationError](v.err)
	switch {
	case errors.Is(v.err, context.Canceled), errors.Is(v.err, context.DeadlineExceeded), badCertificate: // the first two are the caller's own
		return problemFinding(subject, v.err.Error())
	case v.answer.status == 0:
		return problemFinding(subject, v.err.Error()+"; look at DNS, firewall and proxy on the way to it")
	case v.answer.status == http.StatusNotFound && v.answer.trust != proven && c.hosts.primary.hasPath():
		return problemFinding(subject, v.err.Error()+"; "+adviceBasePath)
	case refused && apiError.Code == "" && v.answer.status >= 300 && v.answer.trust != proven:
		return problemFinding(subject, v.err.Error()+"; something between here and WeChat Pay answered, or BaseURL is not WeChat Pay's")
	case v.answer.status == http.StatusUnauthorized && c.hosts.primary.hasPath():
		return problemFinding(subject, v.err.Error()+"; "+adviceBasePath)
	case v.answer.status == http.StatusUnauthorized && c.certificate != nil:
		return problemFinding(subject, v.err.Error()+"; PrivateKey and Certificate belong together, so "+c.edition.field+" is another's, the certificate is no longer in use, or the clock is wrong")
	case v.answer.status == http.StatusUnauthorized: // the error says what to look at
		return problemFinding(subject, v.err.Error())
	case errors.Is(v.err, ErrSignature) && signOfChange(v.answer.header, v.answer.body) != "":
		return problemFinding(subject, v.err.Error()+"; something between here and WeChat Pay answered or changed the answer, or BaseURL is not WeChat Pay's")
	case errors.Is(v.err, ErrSignature) && apiv3.ProofOf(v.answer.header).Absent():
		return problemFinding(subject, v.err.Error()+"; "+adviceHeaders)
	case errors.Is(v.err, ErrSignature):
		return untriedFinding(subject, "answers; whether it is WeChat Pay is the next question")
	case v.err == nil, noCertificates(v):
		return okFinding(subject, "accepts the signature of "+c.edition.field+" and PrivateKey")
	case errors.Is(v.err, ErrNotFound):
		return problemFinding(subject, v.err.Error()+"; the service does not know this address: does BaseURL have a path?")
	}
	return problemFinding(subject, v.err.Error())
}

// checkPlatformKey says whether the answer could be verified. accepted: it should have been signed.
func (c *Client) checkPlatformKey(v verdict, accepted bool) Finding {
	subject := "PublicKey"
	if c.keys.public.key == nil {
		subject = "platform certificates"
	}
	unverified, _ := errors.AsType[*SignatureError](v.err)
	serial := apiv3.ProofOf(v.answer.header).Serial
	switch {
	case noCertificates(v) && c.keys.public.key == nil:
		return problemFinding(subject, "there are none; does this merchant number use the WeChat Pay public key? Then give PublicKey and PublicKeyID")
	case noCertificates(v) && c.keys.preferCertificates:
		return problemFinding(subject, "PreferCertificates is set, but this merchant number has no platform certificates; leave it out")
	case v.answer.trust == proven && c.keys.preferCertificates && serial != c.keys.public.id:
		return okFinding("platform certificates", "verify what WeChat Pay signs, as PreferCertificates wants")
	case v.answer.trust == proven && c.keys.public.key != nil && serial != c.keys.public.id:
		return untriedFinding(subject, "WeChat Pay signs with platform certificates, the switch to the public key has not begun. If calls with sensitive values are refused, set PreferCertificates until it has")
	case v.answer.trust == proven:
		return okFinding(subject, "verifies what WeChat Pay signs")
	case unverified == nil && v.answer.trust == unproven:
		return untriedFinding(subject, "the answer is an error, signed with a platform certificate that is not at hand")
	case unverified == nil && accepted:
		return problemFinding(subject, "could not be tried: the answer was not signed. Does a proxy remove the Wechatpay- headers, or does somebody else answer?")
	case unverified == nil, apiv3.ProofOf(v.answer.header).Absent():
		return untriedFinding(subject, "the answer was not signed")
	case errors.Is(unverified, apiv3.ErrAPIv3Key):
		return problemFinding(subject, "could not be decrypted, see APIv3Key")
	case unverified.Reason == ReasonStaleClock && !v.answer.date().IsZero() && time.Since(v.answer.date()).Abs() < apiv3.Window:
		return problemFinding(subject, unverified.Error()+"; the answer's Date agrees with this machine's clock, so its signature is of another time: does a cache or a proxy keep answers?")
	case unverified.Reason == ReasonStaleClock:
		return problemFinding(subject, unverified.Error())
	case unverified.Reason == ReasonUnknownSerial && strings.HasPrefix(unverified.Serial, publicKeyPrefix):
		return problemFinding(subject, fmt.Sprintf("WeChat Pay signs with %.80q: give that public key and its id, which both stand on the %s", unverified.Serial, c.edition.platform))
	case signOfChange(v.answer.header, v.answer.body) != "":
		return untriedFinding(subject, "the answer is not as WeChat Pay sent it")
	case unverified.Reason == ReasonMismatch && c.keys.public.key != nil:
		return problemFinding(subject, unverified.Error()+"; PublicKey is not the key that PublicKeyID names: use the pub_key.pem and the id of one merchant number; or something on the way changed the answer")
	}
	return problemFinding(subject, unverified.Error())
}

// checkAPIv3Key tries the key on the certificates.
func (c *Client) checkAPIv3Key(v verdict) Finding {
	const subject = "APIv3Key"
	if c.apiv3Key == nil {
		return untriedFinding(subject, "not given; notifications need it, and platform certificates where there are some")
	}
	err := v.err
	if c.edition.certificates && v.answer.trust == proven && v.answer.status == http.StatusOK {
		if _, err = apiv3.DecryptCertificates(v.answer.body, c.keys.certificateKey.text()); err == nil {
			return okFinding(subject, "decrypts what WeChat Pay encrypts")
		}
	}
	if errors.Is(err, apiv3.ErrAPIv3Key) {
		return problemFinding(subject, "is not that of this merchant number: the platform certificates do not decrypt with it. Set it anew on the merchant platform if it is lost; the old one ends at once")
	}
	return untriedFinding(subject, "has the right length; there was nothing to try it on, the first notification will show")
}

// checkClock compares this machine's clock with the service's.
func checkClock(date time.Time) Finding {
	const subject = "clock"
	skew := time.Since(date).Truncate(time.Second)
	text := fmt.Sprintf("%v ahead of the service's", skew)
	switch {
	case skew == 0 || skew == time.Second: // a Date has no fraction, and travels
		text = "0s off the service's"
	case skew < 0:
		text = fmt.Sprintf("%v behind the service's", skew.Abs())
	}
	switch {
	case skew.Abs() >= apiv3.Window:
		return problemFinding(subject, text+": beyond the 5 minutes that signatures allow. Set it, and keep it right with NTP")
	case skew.Abs() >= clockTolerance:
		return problemFinding(subject, text+": signatures fail at 5 minutes. Keep it right with NTP")
	}
	return okFinding(subject, text)
}

// Advice on what usually is behind what can be seen.
const (
	adviceIdentity = "MchID, or BrandID of a brand, CertificateSerial and PrivateKey must belong together, and the certificate must be the one in use"
	adviceHeaders  = "does a proxy remove the Wechatpay- headers, or is somebody else than WeChat Pay there?"
	adviceBody     = "did a middleware or proxy change the body, or is it not from WeChat Pay?"
	adviceClock    = "check the clock"
	adviceProxy    = "does a proxy change requests?"
	adviceBasePath = "BaseURL has a path, which something on the way must take off"

	adviceCertificate = "was it encrypted for another certificate?"
	adviceAPIv3Key    = "was the key reset on the merchant platform, or is it another merchant's?"
	advicePublicKey   = "does the merchant number use the WeChat Pay public key?"
	adviceMiddleware  = "if a middleware read it before, it must put it back"
	adviceLate        = adviceClock + ", or it waited on its way: parse a notification when it comes"
)

// adviceOnTLS says what usually is behind a certificate that does not verify; "" for another error.
func adviceOnTLS(err error) string {
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	_, noName := errors.AsType[x509.HostnameError](err)
	_, bad := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case isInvalid && invalid.Reason == x509.Expired:
		return "is this machine's clock right? It says " + time.Now().UTC().Format(time.RFC3339)
	case noName:
		return "somebody else than WeChat Pay answers there: a proxy, a portal, or a wrong entry in DNS or the hosts file"
	case bad:
		return "are the root certificates missing, as in a container without the package ca-certificates (SSL_CERT_FILE can name their file), or does a proxy put its own certificate in between?"
	}
	return ""
}

// withAdvice adds to an error what usually is behind it.
func withAdvice(err error) error {
	switch {
	case errors.Is(err, apiv3.ErrAPIv3Key):
		return fmt.Errorf("%w; %s", err, adviceAPIv3Key)
	case errors.Is(err, apiv3.ErrNoCertificates):
		return fmt.Errorf("%w; %s", err, advicePublicKey)
	}
	return err
}

// explainAnswer says what else can be seen of an answer that does not verify.
func explainAnswer(flaw *apiv3.Flaw, header http.Header, body []byte) string {
	what := signOfChange(header, body)
	switch flaw.Kind {
	case apiv3.Incomplete:
		which := flaw.Header
		if apiv3.ProofOf(header).Absent() {
			which = "there is none at all"
		}
		if what != "" {
			return which + "; " + what
		}
		return which
	case apiv3.Stale:
		return adviceClock
	}
	return what
}

// signOfChange says what shows that a body is not as WeChat Pay sent it, "" for nothing.
func signOfChange(header http.Header, body []byte) string {
	announced, err := strconv.Atoi(header.Get("Content-Length"))
	cut := len(body) == maxUnproven // by the client itself
	switch encoding := header.Get("Content-Encoding"); {
	case encoding != "":
		return fmt.Sprintf("the body is still compressed (Content-Encoding %.20q): something on the way asked for it or compressed it", encoding)
	case err == nil && announced != len(body) && !cut:
		return fmt.Sprintf("the body has %d bytes where Content-Length says %d", len(body), announced)
	case !json.Valid(body) && (!cut || !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{"))):
		return fmt.Sprintf("the body is no JSON (Content-Type %.60q): somebody else than WeChat Pay answered", header.Get("Content-Type"))
	}
	return ""
}
