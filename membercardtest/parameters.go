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
	"sync"
	"time"
	"unicode/utf8"

	"github.com/wechatpay-cards/membercard"
)

// route is an operation as its official page describes it, and what carries it out.
type route struct {
	operation membercard.Operation // empty: no operation has this path
	method    string
	path      []string // segments; those in braces are parameters
	pathIn    []parameter
	query     []parameter
	body      []parameter
	response  []parameter // nil: the answer is of a form of its own
	older     []string    // the parameters that WithIDsInQuery moves from the body to the query
	serial    bool        // Wechatpay-Serial is required
	withdrawn bool        // the service no longer has it
	upload    bool        // the body is multipart, and only its meta part is signed
	handle    func(*Server, input) (document, *problem)
}

// handlers carry out the operations.
var handlers = map[membercard.Operation]func(*Server, input) (document, *problem){
	membercard.OperationCreateCard:     (*Server).createCard,
	membercard.OperationListCards:      (*Server).listCards,
	membercard.OperationGetCard:        (*Server).getCard,
	membercard.OperationUpdateCard:     (*Server).updateCard,
	membercard.OperationInvalidateCard: (*Server).invalidateCard,

	membercard.OperationListUserCards:          (*Server).listUserCards,
	membercard.OperationGetUserCard:            (*Server).getUserCard,
	membercard.OperationUpdateUserCard:         (*Server).updateUserCard,
	membercard.OperationInvalidateUserCard:     (*Server).invalidateUserCard,
	membercard.OperationConfirmUserCard:        (*Server).confirmUserCard,
	membercard.OperationImportUserCardByOpenID: (*Server).importUserCard,
	membercard.OperationImportUserCardByPhone:  (*Server).importUserCard,

	membercard.OperationSyncUserPoints:        (*Server).syncUserPoints,
	membercard.OperationConfirmPointsExchange: (*Server).confirmPointsExchange,
	membercard.OperationCreateUserFeed:        (*Server).createUserFeed,
	membercard.OperationCreatePreAuthToken:    (*Server).createPreAuthToken,
	membercard.OperationCreatePayViewToken:    (*Server).createPayViewToken,

	membercard.OperationCreateActivity:    (*Server).createActivity,
	membercard.OperationListActivities:    (*Server).listActivities,
	membercard.OperationGetActivity:       (*Server).getActivity,
	membercard.OperationUpdateActivity:    (*Server).updateActivity,
	membercard.OperationTerminateActivity: (*Server).terminateActivity,

	membercard.OperationUploadImage:          (*Server).uploadImage,
	membercard.OperationSecurityEcho:         (*Server).securityEcho,
	membercard.OperationDownloadCertificates: (*Server).listCertificates,
}

// olderPlaces are the parameters that the pages of 2025.06.22 had in the query.
var olderPlaces = map[membercard.Operation][]string{
	membercard.OperationUpdateUserCard:     {"card_id"},
	membercard.OperationConfirmUserCard:    {"card_id"},
	membercard.OperationInvalidateUserCard: {"brand_id", "card_id"},
}

// routes returns the operations in the order of their names. A function, as the handlers lead back to it.
var routes = sync.OnceValue(func() []*route {
	var all []*route
	for _, name := range slices.Sorted(maps.Keys(pages())) {
		p := pages()[name]
		all = append(all, &route{
			operation: name, method: p.Method, path: strings.Split(strings.TrimPrefix(p.URL, "/"), "/"),
			pathIn: tree(p.PathParams, ""), query: tree(p.Query, ""), body: tree(p.Body, ""), response: tree(p.Response, ""), older: olderPlaces[name],
			serial:    slices.ContainsFunc(p.Header, func(r row) bool { return r.Name == "Wechatpay-Serial" }),
			withdrawn: p.Withdrawn, upload: name == membercard.OperationUploadImage, handle: handlers[name],
		})
	}
	return all
})

// input is a request that was found valid, sensitive values decrypted.
type input struct {
	operation   membercard.Operation
	path, query map[string]string
	document                // the body
	rows        []parameter // of the answer
	upload      *imageUpload
}

// id returns a parameter that travels in the query or in the body, wherever the server expects it.
func (in input) id(name string) string {
	if value, ok := in.query[name]; ok {
		return value
	}
	return in.text(name)
}

// changes returns what the body says of a resource: its members that the answer has too.
func (in input) changes() document { return project(in.rows, in.document, normalTime) }

// match finds the route of a request by the path as it stands on the request line. Where no operation has the path, or
// none with the method, the route says how that is answered.
func (s *Server) match(request *http.Request) (*route, map[string]string) {
	uri, _, _ := strings.Cut(request.RequestURI, "?")
	if uri == "" {
		uri = request.URL.EscapedPath()
	}
	segments := strings.Split(strings.TrimPrefix(uri, "/"), "/")
	missed := &route{handle: noOperation(http.StatusNotFound, "no operation has this path")}
	for _, r := range s.edition.routes() {
		values, found := valuesIn(r.path, segments)
		if r.upload {
			values, found = nil, s.uploadPath == "/"+strings.Join(segments, "/")
		}
		switch {
		case found && r.withdrawn && !s.withdrawn:
			return &route{handle: noOperation(http.StatusNotFound, "WeChat Pay has withdrawn "+string(r.operation)+"; see WithWithdrawnOperations")}, nil
		case found && r.method == request.Method:
			return r, values
		case found:
			missed = &route{handle: noOperation(http.StatusMethodNotAllowed, "no operation with this path has the method")}
		}
	}
	return missed, nil
}

// valuesIn returns the path parameters, and whether the segments are those of a path.
func valuesIn(path, segments []string) (values map[string]string, found bool) {
	if len(path) != len(segments) {
		return nil, false
	}
	values = map[string]string{}
	for i, segment := range path {
		if name, isParameter := strings.CutPrefix(segment, "{"); isParameter {
			switch value, _ := url.PathUnescape(segments[i]); value {
			case "", ".", "..": // they make another path
				return nil, false
			}
			values[strings.TrimSuffix(name, "}")] = segments[i]
		} else if segment != segments[i] {
			return nil, false
		}
	}
	return values, true
}

// noOperation answers without a body or a signature, as a gateway does before the operations.
func noOperation(status int, reason string) func(*Server, input) (document, *problem) {
	return func(*Server, input) (document, *problem) {
		return nil, &problem{status: status, reason: reason, source: observed, violation: true, bare: true}
	}
}

// checkHeaders refuses what breaks the APIv3 rules before the signature is looked at.
func checkHeaders(request *http.Request, route *route, body []byte) *problem {
	h := request.Header
	switch {
	case !acceptsJSON(h.Values("Accept")):
		return invalidHeader("Accept", "must admit application/json")
	case h.Get("User-Agent") == "":
		return invalidHeader("User-Agent", "is missing")
	case len(body) > 0 && !route.upload && !isJSON(h.Get("Content-Type")):
		return invalidHeader("Content-Type", "must be application/json when there is a body")
	case len(h.Values("Wechatpay-Serial")) > 1:
		return invalidHeader("Wechatpay-Serial", "is there twice")
	case route.upload && boundaryOf(h.Get("Content-Type")) == "":
		return invalidHeader("Content-Type", "must be multipart/form-data with a boundary")
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

// checker checks parameters. key decrypts the encrypted ones; nil when the request names no key of WeChat Pay's.
type checker struct {
	key       *rsa.PrivateKey
	named     string // by the request
	operation membercard.Operation
}

// validate checks every parameter of a request against the table of its page.
func (s *Server) validate(r *route, escapedPath map[string]string, uri string, header http.Header, body []byte) (input, *problem) {
	named := header.Get("Wechatpay-Serial")
	c := &checker{key: s.decryptionKey(named), named: named, operation: r.operation}
	queryTable, bodyTable := s.tables(r)
	in := input{operation: r.operation, rows: r.response, path: map[string]string{}, query: map[string]string{}}
	for _, p := range r.pathIn {
		value, err := url.PathUnescape(escapedPath[p.name])
		if err != nil {
			return in, paramViolation("uri_template", p.name, nil, "is not properly escaped")
		}
		if _, refused := c.check(p, "uri_template", p.name, jsonValue(p, value)); refused != nil {
			return in, refused
		}
		in.path[p.name] = value
	}
	items, refused := queryItems(uri)
	if refused != nil {
		return in, refused
	}
	if r.upload {
		if len(items) > 0 {
			return in, undefinedParameters("/query/" + items[0].name)
		}
		in.upload = readUpload(header.Get("Content-Type"), body)
		return in, nil
	}
	members, refused := membersOf(body, bodyTable)
	if refused != nil {
		return in, refused
	}
	// As the gateway does it, what is not defined is refused before what is missing.
	strangers := undefined(bodyTable, "/body", members)
	for _, item := range items {
		if !slices.ContainsFunc(queryTable, func(p parameter) bool { return p.name == item.name }) {
			strangers = append(strangers, "/query/"+item.name)
		}
	}
	if len(strangers) > 0 {
		refused := undefinedParameters(strangers...)
		refused.violation = slices.ContainsFunc(strangers, func(pointer string) bool {
			name := strings.TrimPrefix(strings.TrimPrefix(pointer, "/query/"), "/body/")
			return !slices.Contains(r.older, name) // which a correct client may have elsewhere
		})
		return in, refused
	}
	if refused := c.checkQuery(queryTable, items, in.query); refused != nil {
		return in, refused
	}
	if in.document, refused = c.checkMembers(bodyTable, "", members); refused != nil {
		return in, refused
	}
	if r.method == http.MethodPatch && changesNothing(in, bodyTable) {
		return in, paramViolation("body", "", nil, "changes nothing")
	}
	return in, nil
}

// tables returns the tables of query and body as this server has them.
func (s *Server) tables(r *route) (query, body []parameter) {
	if !slices.Contains(s.idsInQuery, r.operation) {
		return r.query, r.body
	}
	query = slices.Clone(r.query)
	for _, p := range r.body {
		if slices.Contains(r.older, p.name) {
			query = append(query, p)
		} else {
			body = append(body, p)
		}
	}
	return query, body
}

// membersOf decodes a body that is to have the parameters of a table.
func membersOf(body []byte, table []parameter) (map[string]any, *problem) {
	if len(table) == 0 && len(body) == 0 {
		return nil, nil
	}
	value, err := decodeStrictly(body)
	if named, _ := value.(map[string]any); len(table) == 0 && len(named) == 0 { // which names what is not defined
		return nil, undefinedParameters("/body")
	}
	if err != nil {
		return nil, paramViolation("body", "", nil, err.Error())
	}
	members, isObject := value.(map[string]any)
	if !isObject {
		return nil, paramViolation("body", "", nil, "is not a JSON object")
	}
	return members, nil
}

// changesNothing reports whether none of the parameters that may be left out was sent. Where all are required it sets them
// all.
func changesNothing(in input, table []parameter) bool {
	optional := false
	for _, p := range table {
		if !p.required && in.has(p.name) {
			return false
		}
		optional = optional || !p.required
	}
	return optional
}

// queryItem is a parameter as it stands in the query.
type queryItem struct{ name, value string }

func queryItems(uri string) ([]queryItem, *problem) {
	_, query, hasQuery := strings.Cut(uri, "?")
	if !hasQuery {
		return nil, nil
	}
	var items []queryItem
	for item := range strings.SplitSeq(query, "&") {
		escapedName, escapedValue, _ := strings.Cut(item, "=")
		name, err := url.QueryUnescape(escapedName)
		value, err2 := url.QueryUnescape(escapedValue)
		if err != nil || err2 != nil {
			return nil, paramViolation("query", escapedName, nil, "is not properly escaped")
		}
		items = append(items, queryItem{name, value})
	}
	return items, nil
}

// checkQuery checks the parameters in the query, all of them defined, and keeps their values.
func (c *checker) checkQuery(table []parameter, items []queryItem, values map[string]string) *problem {
	for _, item := range items {
		p := table[slices.IndexFunc(table, func(p parameter) bool { return p.name == item.name })]
		if _, twice := values[item.name]; twice {
			return paramViolation("query", item.name, item.value, "is there twice")
		}
		if _, refused := c.check(p, "query", item.name, jsonValue(p, item.value)); refused != nil {
			return refused
		}
		values[item.name] = item.value
	}
	return missing(c, table, "query", "", values)
}

// jsonValue returns a value of path or query as JSON would have it.
func jsonValue(p parameter, value string) any {
	if p.kind == kindInteger {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && strconv.FormatInt(n, 10) == value {
			return json.Number(value)
		}
	}
	return value
}

// undefined returns the members of an object that the page does not define.
func undefined(table []parameter, pointer string, members map[string]any) (pointers []string) {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		at := slices.IndexFunc(table, func(p parameter) bool { return p.name == name })
		if at < 0 {
			pointers = append(pointers, pointer+"/"+name)
			continue
		}
		switch value := members[name].(type) {
		case map[string]any:
			if table[at].kind == kindObject {
				pointers = append(pointers, undefined(table[at].members, pointer+"/"+name, value)...)
			}
		case []any:
			for i, element := range value {
				if object, ok := element.(map[string]any); ok && table[at].kind == kindList && table[at].elements == kindObject {
					pointers = append(pointers, undefined(table[at].members, fmt.Sprintf("%s/%s/%d", pointer, name, i), object)...)
				}
			}
		}
	}
	return pointers
}

// missing refuses what lacks a parameter that is required.
func missing[T any](c *checker, table []parameter, location, pointer string, sent map[string]T) *problem {
	for _, p := range table {
		if _, ok := sent[p.name]; p.required && !ok {
			refused := paramViolation(location, pointer+p.name, nil, "is required")
			c.word(refused, p, nil)
			return refused
		}
	}
	return nil
}

// checkMembers checks the members of a JSON object and returns them with sensitive values decrypted.
func (c *checker) checkMembers(table []parameter, pointer string, members map[string]any) (map[string]any, *problem) {
	decrypted := map[string]any{}
	for _, p := range table {
		value, sent := members[p.name]
		if !sent {
			continue
		}
		checked, refused := c.check(p, "body", pointer+"/"+p.name, value)
		if refused != nil {
			return nil, refused
		}
		decrypted[p.name] = checked
	}
	refused := missing(c, table, "body", pointer+"/", members)
	if refused != nil && pointer != "" {
		refused.violation = false // the client leaves it to the service to look into objects
	}
	return decrypted, refused
}

// check checks one value and returns it, decrypted if it was encrypted.
func (c *checker) check(p parameter, location, field string, value any) (any, *problem) {
	checked, refused := c.checkValue(p, location, field, value)
	if refused != nil {
		c.word(refused, p, value)
	}
	return checked, refused
}

// word gives a refusal of a value the message that the operation's page has for it.
func (c *checker) word(refused *problem, p parameter, value any) {
	says := p.says
	if t, ok := value.(string); ok && p.max > 0 && utf8.RuneCountInString(t) > p.max {
		says = p.tooLong
	}
	if says == "" {
		return
	}
	if row, ok := errorOf(c.operation, says); ok {
		refused.message = plain(row.Message)
	}
}

func (c *checker) checkValue(p parameter, location, field string, value any) (any, *problem) {
	switch p.kind {
	case kindText:
		t, ok := value.(string)
		if !ok {
			if p.encrypted { // it may be the value in clear
				value = nil
			}
			return nil, paramViolation(location, field, value, "must be a string")
		}
		return c.checkString(p, location, field, t)
	case kindInteger:
		number, _ := value.(json.Number)
		n, err := strconv.Atoi(number.String())
		switch {
		case err != nil:
			return nil, paramViolation(location, field, value, "must be an integer")
		case p.most > 0 && (n < p.min || n > p.most):
			return nil, outOfRange(location, field, n, fmt.Sprintf("must be from %d to %d", p.min, p.most))
		case n < p.min:
			return nil, outOfRange(location, field, n, fmt.Sprintf("must be at least %d", p.min))
		}
	case kindBoolean:
		if _, ok := value.(bool); !ok {
			return nil, paramViolation(location, field, value, "must be a boolean")
		}
	case kindObject:
		members, ok := value.(map[string]any)
		if !ok {
			return nil, paramViolation(location, field, value, "must be an object")
		}
		return c.checkMembers(p.members, field, members)
	case kindList:
		elements, ok := value.([]any)
		if !ok {
			return nil, paramViolation(location, field, value, "must be an array")
		}
		if len(elements) < p.least || p.most > 0 && len(elements) > p.most {
			return nil, paramError(location, field, len(elements), fmt.Sprintf("must have from %d to %d elements", p.least, p.most))
		}
		element := p
		element.kind = p.elements
		checked := make([]any, len(elements))
		for i, e := range elements {
			var refused *problem
			if checked[i], refused = c.check(element, location, fmt.Sprintf("%s/%d", field, i), e); refused != nil {
				return nil, refused
			}
		}
		return checked, nil
	}
	return value, nil
}

func (c *checker) checkString(p parameter, location, field, value string) (any, *problem) {
	switch {
	case value == "":
		return nil, paramError(location, field, value, "must not be empty; leave it out instead")
	case p.encrypted:
		return c.decrypt(p, location, field, value)
	case p.max > 0 && utf8.RuneCountInString(value) > p.max:
		return nil, paramError(location, field, value, fmt.Sprintf("must have at most %d characters", p.max))
	case p.enum != nil && !slices.Contains(p.enum, value):
		return nil, paramError(location, field, value, "must be one of "+strings.Join(p.enum, ", "))
	case p.pattern != nil && !p.pattern.MatchString(value):
		return nil, paramError(location, field, value, "must match "+p.pattern.String())
	case p.isTime && !isTime(value):
		return nil, paramError(location, field, value, "must be a time such as 2026-08-08T10:00:00+08:00")
	}
	if flaw := unreadable(value); flaw != "" {
		return nil, paramViolation(location, field, nil, flaw)
	}
	return value, nil
}

// decrypt decrypts a value. What is in it must be fit for the service too.
func (c *checker) decrypt(p parameter, location, field, value string) (any, *problem) {
	if p.max > 0 && p.kind == kindText && len(value) > p.max && !strings.Contains(field, "user_chosen_values") {
		return nil, paramError(location, field, nil, fmt.Sprintf("must have at most %d characters", p.max))
	}
	if c.key == nil {
		return nil, wrongSerial(c.named)
	}
	plaintext, err := decryptValue(c.key, value)
	if err != nil {
		return nil, paramViolation(location, field, nil, "must be encrypted: "+err.Error())
	}
	if flaw := unreadable(plaintext); flaw != "" {
		return nil, paramViolation(location, field, nil, flaw)
	}
	return plaintext, nil
}

// unreadable says why the service cannot read a text; "" when it can.
func unreadable(text string) string {
	switch {
	case !utf8.ValidString(text):
		return "is not UTF-8"
	case strings.ContainsFunc(text, func(r rune) bool { return r > 0xFFFF }):
		return "holds a character of four UTF-8 bytes"
	}
	return ""
}

var timeForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// isTime reports whether a text is an RFC 3339 time. Go's parser takes more.
func isTime(text string) bool {
	at, err := time.Parse(time.RFC3339, text)
	year := at.In(zone).Year() // as it is written in an answer
	return err == nil && timeForm.MatchString(text) && year >= 0 && year <= 9999
}

// decodeStrictly decodes JSON and refuses what Go's decoder lets pass: null, a name that is there
// twice, and anything behind the value.
func decodeStrictly(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("is not UTF-8")
	}
	if surrogate.Match(data) {
		return nil, errors.New("holds a surrogate, of a character of four UTF-8 bytes")
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

// surrogate finds an escaped half of a character of four bytes. Go's decoder replaces one that stands alone.
var surrogate = regexp.MustCompile(`[^\\](\\\\)*\\u[dD][89a-fA-F]`)

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
		return members, readEnd(decoder)
	case json.Delim('['):
		elements := []any{}
		for decoder.More() {
			element, err := decodeValue(decoder, depth+1)
			if err != nil {
				return nil, err
			}
			elements = append(elements, element)
		}
		return elements, readEnd(decoder)
	}
	return token, nil
}

func readEnd(decoder *json.Decoder) error {
	if _, err := decoder.Token(); err != nil {
		return errors.New("is not JSON")
	}
	return nil
}
