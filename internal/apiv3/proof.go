package apiv3

import (
	"crypto/rsa"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Window is how far an answer or a notification may be from the local clock, in both directions.
const Window = 5 * time.Minute

// Proof is what an answer or a notification carries to prove that it comes from WeChat Pay: its four headers.
type Proof struct{ Timestamp, Nonce, Signature, Serial string }

// Flaw says what is wrong with a proof.
type Flaw struct {
	Kind   FlawKind
	Header string        // with Incomplete: the header that is missing or malformed
	Skew   time.Duration // with Stale: how far the timestamp is ahead of the local clock
}

// FlawKind is a kind of [Flaw].
type FlawKind int

// The kinds of flaw.
const (
	Incomplete FlawKind = iota + 1 // a header is missing or malformed
	Stale                          // the timestamp is outside the window
	Mismatch                       // the signature is of something else, or not Base64
	Probe                          // the same, and WeChat Pay spoiled it on purpose
)

// ProofOf reads the headers of a proof. Their names may have any case, as some adaptors hand them on in lower case.
func ProofOf(header http.Header) Proof {
	return Proof{
		Timestamp: headerValue(header, "Wechatpay-Timestamp"), Nonce: headerValue(header, "Wechatpay-Nonce"),
		Signature: headerValue(header, "Wechatpay-Signature"), Serial: headerValue(header, "Wechatpay-Serial"),
	}
}

func headerValue(header http.Header, name string) string {
	if values, canonical := header[name]; canonical && len(values) > 0 {
		return values[0]
	}
	for other, values := range header {
		if strings.EqualFold(other, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// Absent reports whether there is no proof at all.
func (p Proof) Absent() bool { return p == Proof{} }

// Flaw returns what is wrong with the proof before any key is looked for, nil for nothing. A line feed in one
// of the first two headers would move the boundary between what is signed and what is not.
func (p Proof) Flaw(now time.Time) *Flaw {
	seconds, err := strconv.ParseUint(p.Timestamp, 10, 40) // no sign, no blank
	switch {
	case err != nil:
		return &Flaw{Kind: Incomplete, Header: "Wechatpay-Timestamp"}
	case p.Nonce == "" || strings.ContainsFunc(p.Nonce, func(r rune) bool { return r < ' ' || r == 0x7F }):
		return &Flaw{Kind: Incomplete, Header: "Wechatpay-Nonce"}
	case p.Signature == "":
		return &Flaw{Kind: Incomplete, Header: "Wechatpay-Signature"}
	case p.Serial == "":
		return &Flaw{Kind: Incomplete, Header: "Wechatpay-Serial"}
	}
	if skew := time.Unix(int64(seconds), 0).Sub(now).Round(time.Second); skew.Abs() >= Window {
		return &Flaw{Kind: Stale, Skew: skew}
	}
	return nil
}

// Verify returns nil when the proof signs a body under a key.
func (p Proof) Verify(key *rsa.PublicKey, body []byte) *Flaw {
	switch {
	case Verify(key, p.Timestamp, p.Nonce, body, p.Signature):
		return nil
	case strings.HasPrefix(p.Signature, "WECHATPAY/SIGNTEST/"):
		return &Flaw{Kind: Probe}
	}
	return &Flaw{Kind: Mismatch}
}
