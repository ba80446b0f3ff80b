package membercard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wechatpay-cards/membercard/internal/redact"
)

// call is the way of every operation.
func (e endpoint[Request, Result]) call(ctx context.Context, c *Client, in Request) (*Result, error) {
	resetInfo(ctx)
	r, err := c.build(ctx, e.operation, reflect.ValueOf(in), c.isInQuery(e.operation)) // validate, encrypt, encode: once
	if err != nil {
		return nil, err
	}
	end := c.send(ctx, r, nil)                     // throttle, sign, send, read, verify, judge: for each attempt
	if end.last.misplaced && !end.outcomeUnknown { // nothing was carried out
		if r, err = c.build(ctx, e.operation, reflect.ValueOf(in), !r.inQuery); err != nil {
			return nil, err
		}
		if end = c.send(ctx, r, end.attempt); end.last.showsPlacement() {
			c.keepPlacement(ctx, r)
		}
	}
	return resultOfCall[Result](end)
}

// resultOfCall returns what a call brought.
func resultOfCall[Result any](end ending) (*Result, error) {
	if end.err != nil {
		return nil, end.err
	}
	return end.last.result.(*Result), nil
}

// request is what a call sends, but for what each attempt adds: time, nonce and signature. build makes it; nothing
// changes it.
type request struct {
	*operation
	template    string // the path in this edition, before its parameter is filled in
	uri         string // escaped path and query
	body        []byte // nil for none
	signed      []byte // what of body the signature covers: all of it, but for an upload
	contentType string
	keyID       string        // of the key that encrypted, for Wechatpay-Serial
	inQuery     bool          // contested parameters are in the query, as the older pages have it
	in          reflect.Value // what the caller asked for; the answer must have the same identifiers
	plaintexts  []string      // of the sensitive values in it
	timeout     time.Duration // of one attempt
	retry       RetryPolicy
	throttle    func(context.Context, Operation) error // nil for none
	verifier    verifier
}

// build validates, encrypts and encodes a request. Its errors can be returned as they are.
func (c *Client) build(ctx context.Context, op *operation, in reflect.Value, inQuery bool) (*request, error) {
	path, retry, err := c.prepare(ctx, op)
	if err == nil {
		err = c.validate(op, in)
	}
	if err != nil {
		return nil, refusedError(op, secretsOf(op, in), err)
	}
	key, err := c.keys.encryptionKey(ctx)
	if err != nil {
		return nil, notSentError(ctx, op, secretsOf(op, in), err)
	}
	e := &encrypter{client: c, key: key.key}
	uri, body, err := encode(op, path, in, e, inQuery)
	if err != nil {
		return nil, refusedError(op, append(secretsOf(op, in), e.plaintexts...), err)
	}
	return &request{
		operation: op, template: path, uri: uri, body: body, signed: body, contentType: "application/json", keyID: key.id, inQuery: inQuery,
		in: in, plaintexts: e.plaintexts, timeout: c.attemptTimeout, retry: retry,
		throttle: c.throttle, verifier: (*keyRing).verifyAnswer,
	}, nil
}

// prepare returns where an operation is and how it is retried, or why it cannot be called.
func (c *Client) prepare(ctx context.Context, op *operation) (path string, retry RetryPolicy, err error) {
	if path, err = c.edition.path(op); err != nil {
		return "", retry, err
	}
	retry, err = c.retryPolicy(ctx)
	return path, retry, err
}

// secrets are the values that no text may quote.
func (r *request) secrets() redact.Secrets {
	return append(secretsOf(r.operation, r.in), r.plaintexts...)
}

func secretsOf(op *operation, in reflect.Value) redact.Secrets {
	var secrets redact.Secrets
	for _, p := range op.parameters {
		if p.personal {
			secrets = append(secrets, in.Field(p.index).String())
		}
	}
	return secrets
}

// validate refuses what cannot be meant.
func (c *Client) validate(op *operation, in reflect.Value) error {
	for _, p := range op.parameters {
		value := in.Field(p.index)
		if c.edition.omits(p) {
			if err := c.edition.checkBrand(p, value.String()); err != nil {
				return err
			}
			continue
		}
		if !p.optional && (!p.number || p.place == "path") && isZero(value) {
			return fmt.Errorf("%s (%s) is required", p.field, p.name)
		}
		if where, ok := checkText(value); !ok {
			return fmt.Errorf("%s%s holds an emoji or another character of four UTF-8 bytes, or invalid UTF-8, which the service does not take", p.field, where)
		}
		if p.place != "path" || p.number {
			continue
		}
		if segment := value.String(); segment == "." || segment == ".." || strings.ContainsFunc(segment, unicode.IsControl) {
			return fmt.Errorf("%s (%s) must not be \".\" or \"..\" nor hold control characters", p.field, p.name)
		}
	}
	return nil
}

// encode makes URI and body. Sensitive values are encrypted on the way, so that no request can forget it.
func encode(op *operation, path string, in reflect.Value, e *encrypter, inQuery bool) (uri string, body []byte, err error) {
	head, segment, tail := path, "", "" // of the path, around its one parameter
	changes, changeable := 0, 0
	query := make([]byte, 0, 256)
	for _, p := range op.parameters {
		value := in.Field(p.index)
		if e.client.edition.omits(p) {
			continue
		}
		if p.optional {
			changeable++
			if isZero(value) {
				continue
			}
		}
		place := p.place
		if inQuery {
			place = p.older
		}
		switch place {
		case "path":
			head, tail, _ = strings.Cut(path, "{"+p.name+"}")
			segment = escape(parameterText(value))
		case "query":
			query = append(append(append(append(query, '&'), p.name...), '='), escape(parameterText(value))...)
		case "body":
			member, err := e.marshal(p, value.Interface())
			if err != nil {
				return "", nil, err
			}
			if member == nil {
				continue
			}
			body = append(append(body, `,"`+p.name+`":`...), member...)
			if p.optional {
				changes++
			}
		}
	}
	if op.method == http.MethodPatch && changeable > 0 && changes == 0 {
		return "", nil, errors.New("nothing to change: every optional field is empty")
	}
	if len(query) > 0 {
		query[0] = '?'
	}
	if body != nil {
		body[0] = '{'
		body = append(body, '}')
	}
	if bytes.Contains(body, []byte(redactedAs)) { // a value that was not encrypted must not be sent in clear, nor this
		return "", nil, fmt.Errorf("the body holds the text %s, which stands for a value that must not be sent", redactedAs)
	}
	uri = string(append(append(append(append(make([]byte, 0, 512), head...), segment...), tail...), query...))
	return uri, body, nil
}

// parameterText returns a parameter of the path or the query.
func parameterText(value reflect.Value) string {
	if value.CanInt() {
		return strconv.FormatInt(value.Int(), 10)
	}
	return value.String()
}

// escape escapes whatever may mean something in a path or a query. A space is %20 and a plus sign %2B, so
// that no server can take one for the other.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// marshal encodes a member of the body, with sensitive values encrypted. It returns nil for an empty one.
func (e *encrypter) marshal(p parameter, value any) ([]byte, error) {
	switch v := value.(type) {
	case Sensitive:
		encrypted, err := e.encrypt(p.field, v)
		if err != nil || encrypted.IsZero() {
			return nil, err
		}
		value = encrypted
	case *UserInfo:
		encrypted, err := e.encryptUserInfo(p.field, v)
		if err != nil {
			return nil, err
		}
		value = encrypted
	}
	member, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("%s (%s): %w", p.field, p.name, err)
	}
	return member, nil
}

func isZero(v reflect.Value) bool {
	if v.Kind() != reflect.Struct {
		return v.IsZero()
	}
	if z, ok := v.Interface().(interface{ IsZero() bool }); ok {
		return z.IsZero()
	}
	return v.IsZero()
}

// checkText refuses, in all that travels in clear, what the service cannot read: invalid UTF-8 and
// characters of four bytes, such as emoji. It says where in the value they are.
func checkText(v reflect.Value) (where string, ok bool) {
	switch v.Kind() {
	case reflect.String:
		return "", utf8.ValidString(v.String()) && !strings.ContainsFunc(v.String(), func(r rune) bool { return r > 0xFFFF })
	case reflect.Pointer:
		if !v.IsNil() {
			return checkText(v.Elem())
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return "", true
		}
		for i := range v.Len() {
			if where, ok := checkText(v.Index(i)); !ok {
				return fmt.Sprintf("[%d]%s", i, where), false
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !v.Field(i).CanInterface() { // unexported
				continue
			}
			if where, ok := checkText(v.Field(i)); !ok {
				return "." + v.Type().Field(i).Name + where, false
			}
		}
	}
	return "", true
}
