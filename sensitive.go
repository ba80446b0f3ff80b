package membercard

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wechatpay-cards/membercard/internal/apiv3"
)

// Timestamp is a time of the service's: RFC 3339 with or without a fraction on reading, with
// milliseconds at the most on writing. Times that were read are in the zone +08:00, so that equal
// instants are equal to reflect.DeepEqual wherever the program runs.
type Timestamp struct{ time.Time }

// MarshalJSON writes the time in the zone +08:00, with milliseconds where there are any; what is
// finer is cut off. The zero time is "".
func (t Timestamp) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte(`""`), nil
	}
	in := t.In(apiv3.Beijing).Truncate(time.Millisecond)
	if year := in.Year(); year < 1 || year > 9999 {
		return nil, fmt.Errorf("the year %d cannot be written as RFC 3339", year)
	}
	layout := `"2006-01-02T15:04:05.000-07:00"`
	if in.Nanosecond() == 0 {
		layout = `"2006-01-02T15:04:05-07:00"`
	}
	return []byte(in.Format(layout)), nil
}

// UnmarshalJSON reads RFC 3339; "" and null are the zero time.
func (t *Timestamp) UnmarshalJSON(data []byte) error {
	*t = Timestamp{}
	if strict := (time.Time{}); strict.UnmarshalJSON(data) == nil && !strict.IsZero() { // without a copy of the text
		t.Time = strict.In(apiv3.Beijing)
		return nil
	}
	text, err := unmarshalText[Timestamp](data)
	if err != nil {
		return err
	}
	if text == "" {
		return nil
	}
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil { // the decoder adds the field's name to this type of error
		return &json.UnmarshalTypeError{Value: "string", Type: reflect.TypeFor[Timestamp]()}
	}
	if !parsed.IsZero() {
		t.Time = parsed.In(apiv3.Beijing)
	}
	return nil
}

// Value writes the time into a database, in UTC, the zero time as NULL.
func (t Timestamp) Value() (driver.Value, error) {
	if t.IsZero() {
		return nil, nil
	}
	return t.UTC().Round(0), nil // a driver may write what String returns, with the name of the zone
}

// Scan reads a time from a database, or a text with a time zone, without which there would be no telling when it was; NULL is the
// zero time.
func (t *Timestamp) Scan(source any) error {
	read := time.Time{}
	switch value := source.(type) {
	case nil:
	case time.Time:
		read = value
	case string, []byte:
		text := fmt.Sprintf("%s", value)
		var found bool
		if read, found = parseColumn(text); !found {
			return errors.New("membercard: Timestamp: the column holds no time with a time zone; with MySQL set parseTime=true and loc")
		}
	default:
		return fmt.Errorf("membercard: Timestamp: a column of type %T holds no time", source)
	}
	*t = Timestamp{}
	if !read.IsZero() {
		t.Time = read.In(apiv3.Beijing)
	}
	return nil
}

// parseColumn reads the forms in which databases write times: RFC 3339, and with spaces, an offset and perhaps the name of the zone.
func parseColumn(text string) (time.Time, bool) {
	fields := strings.Fields(text)
	text = strings.Join(fields[:min(len(fields), 3)], " ")
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z07", "2006-01-02 15:04:05 -0700"} {
		if parsed, err := time.Parse(layout, text); err == nil {
			return parsed, true
		}
	}
	return time.Time{}, text == ""
}

// Sensitive is a value the service wants encrypted on its way (敏感字段): a phone number, an answer of
// a user's. Make one with [NewSensitive], read one with [Client.Decrypt]. The zero value is absent.
//
// In an answer it keeps the ciphertext until it is decrypted. So personal data is in memory only where it was asked for, and an
// unread field costs no private-key operation. In a request the client encrypts it; a value that came in an answer may be sent
// back, it is decrypted and encrypted again.
//
// It prints as [sensitive] through fmt, log and slog. In JSON an encrypted value is its ciphertext, safe
// to store and to read back; one made by NewSensitive is "[redacted]", whose reading back gives a
// value that cannot be decrypted or sent. Tools that read memory past the methods (testify's diff, spew) can show a value that the
// program made or decrypted itself. They never show one that is still encrypted.
//
// Encryption is randomised: to compare two values, compare what Decrypt returns. A Sensitive cannot
// be compared with == nor be the key of a map.
type Sensitive struct {
	_ [0]func()
	// Two pointers, because fmt follows one when it meets a verb it does not know in a struct field
	// whose methods it may not call.
	value **sensitiveValue
}

type sensitiveState string

const (
	statePlaintext sensitiveState = "plaintext"
	stateEncrypted sensitiveState = "encrypted"
	stateRedacted  sensitiveState = "redacted"
	stateDamaged   sensitiveState = "damaged" // a ciphertext that is none any more
)

type sensitiveValue struct {
	self      *sensitiveValue // what Sensitive points to, so that both pointers are one allocation
	state     sensitiveState
	text      string                 // the plaintext or the ciphertext
	decrypted atomic.Pointer[string] // what Decrypt found, so that decrypting twice costs once
}

const (
	shownAs    = "[sensitive]" // in logs
	redactedAs = "[redacted]"  // in JSON
)

// NewSensitive returns a value to be encrypted when it is sent. The empty string is the zero value. A value may
// have at most 214 bytes with a key of 2048 bits, some 71 Chinese characters; longer ones are refused when they
// are sent.
func NewSensitive(plaintext string) Sensitive {
	if plaintext == "" {
		return Sensitive{}
	}
	return newSensitive(statePlaintext, plaintext)
}

func newSensitive(state sensitiveState, text string) Sensitive {
	value := &sensitiveValue{state: state, text: text}
	value.self = value
	return Sensitive{value: &value.self}
}

// get returns a value without state for the zero Sensitive.
func (s Sensitive) get() *sensitiveValue {
	if s.value == nil {
		return &sensitiveValue{}
	}
	return *s.value
}

// IsZero reports whether there is no value; omitzero uses it.
func (s Sensitive) IsZero() bool { return s.value == nil }

// Equal reports whether both hold the same plaintext or the same ciphertext. Two ciphertexts of one
// plaintext differ.
func (s Sensitive) Equal(other Sensitive) bool {
	a, b := s.get(), other.get()
	return a.state == b.state && a.text == b.text
}

// String returns [sensitive].
func (s Sensitive) String() string { return shownAs }

// Format writes [sensitive], whatever the verb.
func (s Sensitive) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, shownAs) }

// LogValue returns [sensitive].
func (s Sensitive) LogValue() slog.Value { return slog.StringValue(shownAs) }

// MarshalText returns [sensitive].
func (s Sensitive) MarshalText() ([]byte, error) { return []byte(shownAs), nil }

// MarshalJSON returns the ciphertext of an encrypted value, "[redacted]" for any other, and "" for none.
func (s Sensitive) MarshalJSON() ([]byte, error) {
	switch value := s.get(); value.state {
	case "":
		return []byte(`""`), nil
	case stateEncrypted: // Base64 needs no escaping
		return []byte(`"` + value.text + `"`), nil
	case stateDamaged: // as it came, for a person may still mend it, unless it may be in clear
		if apiv3.IsBase64Like(value.text) {
			return json.Marshal(value.text)
		}
		return json.Marshal(redactedAs)
	default:
		return json.Marshal(redactedAs)
	}
}

// UnmarshalJSON reads a ciphertext as encrypted and any other string as plaintext, since the sources
// disagree on whether some fields are encrypted; "" and null are no value. A text that can only be a ciphertext that was
// damaged is kept as such: its decryption is an error that says so.
func (s *Sensitive) UnmarshalJSON(data []byte) error {
	text, err := unmarshalText[Sensitive](data)
	if err == nil {
		*s = sensitiveOf(text)
	}
	return err
}

// sensitiveOf returns the value that a text stands for.
func sensitiveOf(text string) Sensitive {
	switch {
	case text == redactedAs, text == shownAs:
		return newSensitive(stateRedacted, "")
	case apiv3.IsCiphertext(text):
		return newSensitive(stateEncrypted, text)
	case apiv3.IsDamaged(text):
		return newSensitive(stateDamaged, text)
	}
	return NewSensitive(text)
}

// Value writes an encrypted value into a database as its ciphertext, which needs a column for 684 characters, and none as NULL.
// A value in clear is an error: encrypt it with a key of your own.
func (s Sensitive) Value() (driver.Value, error) {
	value := s.get()
	switch value.state {
	case "":
		return nil, nil
	case stateEncrypted:
		return value.text, nil
	}
	if err := value.unusable(); err != nil {
		return nil, fmt.Errorf("membercard: Sensitive: %w", err)
	}
	return nil, errors.New("membercard: Sensitive: a value in clear is not written to a database: encrypt it first, with a key of your own")
}

// Scan reads what Value wrote; NULL is no value.
func (s *Sensitive) Scan(source any) error {
	switch text := source.(type) {
	case nil:
		*s = Sensitive{}
	case string:
		*s = sensitiveOf(text)
	case []byte:
		*s = sensitiveOf(string(text))
	default:
		return fmt.Errorf("membercard: Sensitive: a column of type %T does not hold one", source)
	}
	return nil
}

// unusable says why a value can neither be decrypted nor sent; nil when it can.
func (v *sensitiveValue) unusable() error {
	switch v.state {
	case stateRedacted:
		return errRedacted
	case stateDamaged:
		return errDamaged
	}
	return nil
}

// unmarshalText reads a JSON string or null, which is "". The decoder adds the name of the field to
// an error of this type; the value stays out of it.
func unmarshalText[T any](data []byte) (string, error) {
	if n := len(data) - 1; n > 0 && data[0] == '"' && data[n] == '"' && isPlain(data[1:n]) {
		return string(data[1:n]), nil // most values, and a second decoder is dear
	}
	var text string
	if json.Unmarshal(data, &text) != nil {
		what := "value that is no string"
		if len(data) > 0 && data[0] == '"' {
			what = "string"
		}
		return "", &json.UnmarshalTypeError{Value: what, Type: reflect.TypeFor[T]()}
	}
	return text, nil
}

// isPlain reports whether a JSON string is written as it is.
func isPlain(data []byte) bool {
	for _, b := range data {
		if b < ' ' || b > '~' || b == '"' || b == '\\' {
			return false
		}
	}
	return true
}
