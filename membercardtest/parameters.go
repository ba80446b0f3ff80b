package membercardtest

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wechatpay-cards/membercard"
)

// route is an operation as its official page describes it.
type route struct {
	operation membercard.Operation
	method    string
	path      []string // segments; those in braces are parameters
	pathIn    []parameter
	query     []parameter
	body      []parameter
	contested []string // parameters that WithIDsInBody moves from the query to the body
	serial    bool     // Wechatpay-Serial is required
	replaces  bool     // a PATCH that sets all values each time
	upload    bool     // the body is multipart, and only its meta part is signed
	handle    func(*Server, input) (any, *problem)
}

// kind is the JSON type of a parameter.
type kind int

const (
	text kind = iota
	integer
	boolean
	object
	list
)

// parameter is a row of a page's table of parameters.
type parameter struct {
	name       string
	kind       kind
	required   bool
	max        int // characters of a text, elements of a list, the largest integer; 0: unlimited
	min        int // of an integer
	enum       []string
	pattern    *regexp.Regexp
	time       bool        // RFC 3339
	sealed     bool        // encrypted
	elementMax int         // characters of each text in a list
	members    []parameter // of an object, or of the objects in a list
	check      func(members map[string]any) error
}

// must returns a copy that is required.
func (p parameter) must() parameter {
	p.required = true
	return p
}

// input is a request that was found valid, sensitive values opened.
type input struct {
	path, query map[string]string
	body        []byte
	upload      *imageUpload
}

// id returns a parameter that travels in the query or, with WithIDsInBody, in the body.
func (in input) id(name string) string {
	if value, ok := in.query[name]; ok {
		return value
	}
	var members map[string]any
	_ = json.Unmarshal(in.body, &members)
	value, _ := members[name].(string)
	return value
}

// match finds the route of a request by the path as it stands on the request line.
func (s *Server) match(request *http.Request) (*route, map[string]string) {
	uri, _, _ := strings.Cut(request.RequestURI, "?")
	if uri == "" {
		uri = request.URL.EscapedPath()
	}
	segments := strings.Split(strings.TrimPrefix(uri, "/"), "/")
	for _, r := range routes() {
		if r.upload && r.method == request.Method && slices.Equal(s.uploadPath, segments) {
			return r, map[string]string{}
		}
		if r.method != request.Method || len(r.path) != len(segments) {
			continue
		}
		values := map[string]string{}
		for i, segment := range r.path {
			if name, isParameter := strings.CutPrefix(segment, "{"); isParameter {
				values[strings.TrimSuffix(name, "}")] = segments[i]
			} else if segment != segments[i] {
				values = nil
				break
			}
		}
		if values != nil {
			return r, values
		}
	}
	return &route{}, nil
}

// checkHeaders refuses what breaks the APIv3 rules beside the signature.
func (s *Server) checkHeaders(request *http.Request, route *route, body []byte) *problem {
	h := request.Header
	switch {
	case !acceptsJSON(h.Values("Accept")):
		return invalidHeader("Accept must admit application/json")
	case h.Get("User-Agent") == "":
		return invalidHeader("User-Agent is missing")
	case len(body) > 0 && !route.upload && !isJSON(h.Get("Content-Type")):
		return invalidHeader("Content-Type must be application/json when there is a body")
	case len(h.Values("Wechatpay-Serial")) > 1:
		return invalidHeader("Wechatpay-Serial is there twice")
	case route.serial && h.Get("Wechatpay-Serial") == "":
		return invalidHeader("Wechatpay-Serial is missing; this operation requires it")
	case s.sealingKey(h.Get("Wechatpay-Serial")) == nil:
		refused := invalidHeader("Wechatpay-Serial is not the id of a valid key of WeChat Pay's")
		refused.violation = h.Get("Wechatpay-Serial") != PublicKeyID // which RotateKey took from a correct client
		return refused
	}
	return nil
}

func isJSON(contentType string) bool {
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	charset := strings.ToLower(parameters["charset"])
	return err == nil && mediaType == "application/json" && (charset == "" || charset == "utf-8")
}

func acceptsJSON(values []string) bool {
	for item := range strings.SplitSeq(strings.Join(values, ","), ",") {
		mediaType, _, err := mime.ParseMediaType(item)
		if err == nil && slices.Contains([]string{"application/json", "application/*", "*/*"}, mediaType) {
			return true
		}
	}
	return false
}

// checker checks parameters. key opens the sealed ones.
type checker struct{ key *rsa.PrivateKey }

// validate checks every parameter of a request against the table of its page.
func (s *Server) validate(r *route, escapedPath map[string]string, uri string, header http.Header, body []byte) (input, *problem) {
	c := &checker{key: s.sealingKey(header.Get("Wechatpay-Serial"))}
	queryTable, bodyTable := r.query, r.body
	if slices.Contains(s.idsInBody, r.operation) {
		isContested := func(p parameter) bool { return slices.Contains(r.contested, p.name) }
		for _, p := range r.query {
			if isContested(p) {
				bodyTable = append(slices.Clone(bodyTable), p)
			}
		}
		queryTable = slices.DeleteFunc(slices.Clone(queryTable), isContested)
	}
	in := input{path: map[string]string{}, query: map[string]string{}}
	for _, p := range r.pathIn {
		value, err := url.PathUnescape(escapedPath[p.name])
		if err != nil {
			return in, paramViolation("path", p.name, "is not properly escaped")
		}
		if _, refused := c.check(p, "path", p.name, value); refused != nil {
			return in, refused
		}
		in.path[p.name] = value
	}
	_, query, hasQuery := strings.Cut(uri, "?")
	if refused := c.validateQuery(queryTable, query, hasQuery, in.query); refused != nil {
		return in, refused
	}
	if r.upload {
		in.upload = readUpload(header.Get("Content-Type"), body)
		return in, nil
	}
	members := map[string]any{}
	if len(body) > 0 && len(bodyTable) == 0 {
		return in, undefinedParameter("/body")
	}
	if len(bodyTable) > 0 {
		value, err := decodeStrictly(body)
		if err != nil {
			return in, paramViolation("body", "", err.Error())
		}
		var isObject bool
		if members, isObject = value.(map[string]any); !isObject {
			return in, paramViolation("body", "", "is not a JSON object")
		}
	}
	// As the gateway does it, what is not defined is refused before what is missing.
	if refused := undefined(bodyTable, "", members); refused != nil {
		return in, refused
	}
	if refused := missing(queryTable, "query", "", in.query); refused != nil {
		return in, refused
	}
	opened, refused := c.checkMembers(bodyTable, "", members)
	if refused != nil {
		return in, refused
	}
	if r.method == http.MethodPatch && !r.replaces && !slices.ContainsFunc(bodyTable, func(p parameter) bool {
		_, sent := members[p.name]
		return sent && !p.required
	}) {
		return in, paramViolation("body", "", "nothing to change")
	}
	in.body = encode(opened)
	return in, nil
}

func (c *checker) validateQuery(table []parameter, query string, hasQuery bool, values map[string]string) *problem {
	if hasQuery {
		for item := range strings.SplitSeq(query, "&") {
			escapedName, escapedValue, _ := strings.Cut(item, "=")
			name, err := url.QueryUnescape(escapedName)
			value, err2 := url.QueryUnescape(escapedValue)
			if err != nil || err2 != nil {
				return paramViolation("query", escapedName, "is not properly escaped")
			}
			at := slices.IndexFunc(table, func(p parameter) bool { return p.name == name })
			if at < 0 {
				return undefinedParameter("/query/" + name)
			}
			if _, twice := values[name]; twice {
				return paramViolation("query", name, "is there twice")
			}
			var typed any = value
			if table[at].kind == integer {
				if n, err := strconv.Atoi(value); err == nil && strconv.Itoa(n) == value {
					typed = json.Number(value)
				}
			}
			if _, refused := c.check(table[at], "query", name, typed); refused != nil {
				return refused
			}
			values[name] = value
		}
	}
	return nil
}

// undefined refuses the members of a body that the page does not define.
func undefined(table []parameter, pointer string, members map[string]any) *problem {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.ContainsFunc(table, func(p parameter) bool { return p.name == name }) {
			return undefinedParameter("/body" + pointer + "/" + name)
		}
	}
	return nil
}

// missing refuses a request without a parameter that is required.
func missing[T any](table []parameter, location, pointer string, sent map[string]T) *problem {
	for _, p := range table {
		if _, ok := sent[p.name]; p.required && !ok {
			return paramViolation(location, pointer+p.name, "is required")
		}
	}
	return nil
}

// checkMembers checks the members of a JSON object and returns them with sensitive values opened.
func (c *checker) checkMembers(table []parameter, pointer string, members map[string]any) (map[string]any, *problem) {
	if refused := undefined(table, pointer, members); refused != nil {
		return nil, refused
	}
	opened := map[string]any{}
	for _, p := range table {
		value, sent := members[p.name]
		if !sent {
			continue
		}
		checked, refused := c.check(p, "body", pointer+"/"+p.name, value)
		if refused != nil {
			return nil, refused
		}
		opened[p.name] = checked
	}
	refused := missing(table, "body", pointer+"/", members)
	if refused != nil && pointer != "" {
		refused.violation = false // the client leaves it to the service to look into objects
	}
	return opened, refused
}

// check checks one value and returns it, opened if it was sealed.
func (c *checker) check(p parameter, location, field string, value any) (any, *problem) {
	switch p.kind {
	case text:
		t, ok := value.(string)
		if !ok {
			return nil, paramViolation(location, field, "must be a string")
		}
		return c.checkString(p, location, field, t)
	case integer:
		number, _ := value.(json.Number)
		n, err := strconv.Atoi(number.String())
		if err != nil {
			return nil, paramViolation(location, field, "must be an integer")
		}
		if n < p.min || p.max > 0 && n > p.max {
			issue := fmt.Sprintf("must be from %d to %d", p.min, p.max)
			if p.max == 0 {
				issue = fmt.Sprintf("must be at least %d", p.min)
			}
			return nil, paramError(location, field, n, issue)
		}
	case boolean:
		if _, ok := value.(bool); !ok {
			return nil, paramViolation(location, field, "must be a boolean")
		}
	case object:
		members, ok := value.(map[string]any)
		if !ok {
			return nil, paramViolation(location, field, "must be an object")
		}
		opened, refused := c.checkMembers(p.members, field, members)
		if refused == nil && p.check != nil {
			if err := p.check(members); err != nil {
				return nil, paramError(location, field, nil, err.Error())
			}
		}
		return opened, refused
	case list:
		elements, ok := value.([]any)
		if !ok {
			return nil, paramViolation(location, field, "must be an array")
		}
		if p.max > 0 && len(elements) > p.max {
			return nil, paramError(location, field, nil, fmt.Sprintf("must have at most %d elements", p.max))
		}
		element := p
		element.kind, element.max = text, p.elementMax
		if p.members != nil {
			element.kind = object
		}
		opened := make([]any, len(elements))
		for i, e := range elements {
			var refused *problem
			if opened[i], refused = c.check(element, location, fmt.Sprintf("%s/%d", field, i), e); refused != nil {
				return nil, refused
			}
		}
		return opened, nil
	}
	return value, nil
}

func (c *checker) checkString(p parameter, location, field, value string) (any, *problem) {
	switch {
	case value == "":
		return nil, paramError(location, field, value, "must not be empty; leave it out instead")
	case p.sealed:
		if p.max > 0 && len(value) > p.max {
			return nil, paramError(location, field, nil, fmt.Sprintf("must have at most %d characters", p.max))
		}
		plaintext, err := unseal(c.key, value)
		if err != nil {
			return nil, paramViolation(location, field, "must be encrypted: "+err.Error())
		}
		return plaintext, nil
	case !utf8.ValidString(value):
		return nil, paramViolation(location, field, "is not UTF-8")
	case strings.ContainsFunc(value, func(r rune) bool { return r > 0xFFFF }):
		return nil, paramViolation(location, field, "holds a character of four UTF-8 bytes")
	case p.max > 0 && utf8.RuneCountInString(value) > p.max:
		return nil, paramError(location, field, value, fmt.Sprintf("must have at most %d characters", p.max))
	case p.enum != nil && !slices.Contains(p.enum, value):
		return nil, paramError(location, field, value, "must be one of "+strings.Join(p.enum, ", "))
	case p.pattern != nil && !p.pattern.MatchString(value):
		return nil, paramError(location, field, value, "must match "+p.pattern.String())
	case p.time:
		if _, err := time.Parse(time.RFC3339, value); err != nil || strings.Contains(value, ",") {
			return nil, paramError(location, field, value, "must be an RFC 3339 time")
		}
	}
	return value, nil
}

// decodeStrictly decodes JSON and refuses what Go's decoder lets pass: null, a name that is there
// twice, and anything behind the value.
func decodeStrictly(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	value, err := decodeValue(decoder, 0)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("there is something behind the JSON value")
	}
	return value, nil
}

func decodeValue(decoder *json.Decoder, depth int) (any, error) {
	if depth > 100 {
		return nil, errors.New("is nested too deeply")
	}
	token, err := decoder.Token()
	if err != nil {
		return nil, errors.New("is not JSON")
	}
	switch token {
	case nil:
		return nil, errors.New("holds null; leave the parameter out instead")
	case json.Delim('{'):
		members := map[string]any{}
		for decoder.More() {
			name, err := decoder.Token()
			if err != nil {
				return nil, errors.New("is not JSON")
			}
			key, _ := name.(string)
			if _, twice := members[key]; twice {
				return nil, fmt.Errorf("holds %q twice", key)
			}
			if members[key], err = decodeValue(decoder, depth+1); err != nil {
				return nil, err
			}
		}
		return members, closing(decoder)
	case json.Delim('['):
		elements := []any{}
		for decoder.More() {
			element, err := decodeValue(decoder, depth+1)
			if err != nil {
				return nil, err
			}
			elements = append(elements, element)
		}
		return elements, closing(decoder)
	}
	return token, nil
}

func closing(decoder *json.Decoder) error {
	if _, err := decoder.Token(); err != nil {
		return errors.New("is not JSON")
	}
	return nil
}
