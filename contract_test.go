package membercard_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// contractPage is an official page as membercardtest/contract has it.
type contractPage struct {
	Operation  membercard.Operation `json:"operation"`
	Doc        string               `json:"doc"`
	Date       string               `json:"date"`
	Method     string               `json:"method"`
	URL        string               `json:"url"`
	Rate       int                  `json:"rate_per_second"`
	PathParams []contractRow        `json:"path_params"`
	Query      []contractRow        `json:"query"`
	Body       []contractRow        `json:"body"`
	Response   []contractRow        `json:"response"`
	Request    struct {
		URL  string          `json:"url"`
		Body json.RawMessage `json:"body"`
	} `json:"request_sample"`
	Answer json.RawMessage `json:"response_sample"`
}

type contractRow struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Required bool   `json:"required"`
	Sealed   bool   `json:"sealed"`
}

// contract returns the pages of all operations.
func contract(tb testing.TB) (pages []contractPage) {
	tb.Helper()
	for _, file := range []string{"partner", "others"} {
		var read struct {
			Operations []contractPage `json:"operations"`
		}
		require.NoError(tb, json.Unmarshal(readFile(tb, "membercardtest/contract/"+file+".json"), &read))
		pages = append(pages, read.Operations...)
	}
	return pages
}

// sampleAnswer returns the official sample of an operation's answer, with the ciphertext of the pages.
func sampleAnswer(tb testing.TB, operation membercard.Operation) []byte {
	tb.Helper()
	pages := contract(tb)
	at := slices.IndexFunc(pages, func(p contractPage) bool { return p.Operation == operation })
	require.GreaterOrEqual(tb, at, 0, operation)
	require.NotEmpty(tb, pages[at].Answer, operation)
	return bytes.ReplaceAll(pages[at].Answer, []byte("CIPHERTEXT"), []byte(officialCiphertext(tb)))
}

// officialCiphertext is the one of the pages' samples.
func officialCiphertext(tb testing.TB) string {
	return strings.TrimSpace(string(readFile(tb, "testdata/official/ciphertext.txt")))
}

// contractPages returns the pages of all operations but the upload, whose parameters are no JSON, and the certificates.
func contractPages(t *testing.T) []contractPage {
	t.Helper()
	pages := slices.DeleteFunc(contract(t), func(p contractPage) bool {
		return p.Operation == membercard.OperationUploadImage || p.Operation == membercard.OperationDownloadCertificates
	})
	require.Len(t, pages, 23)
	return pages
}

// pages returns those of an edition: the brand edition's follow from the others by rules.
func (e edition) pages(t *testing.T) []contractPage {
	t.Helper()
	pages := slices.DeleteFunc(contractPages(t), func(p contractPage) bool { return !e.has(p.Operation) })
	if e.name != "brand" {
		return pages
	}
	require.Len(t, pages, 15)
	isBrand := func(r contractRow) bool { return r.Name == "brand_id" }
	for i := range pages {
		pages[i].URL = strings.Replace(pages[i].URL, "/v3/brand/partner/", "/brand/", 1)
		pages[i].Query, pages[i].Body = slices.DeleteFunc(pages[i].Query, isBrand), slices.DeleteFunc(pages[i].Body, isBrand)
	}
	return pages
}

// fillAll puts a value into every field below v.
func fillAll(v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[membercard.Sensitive]():
		v.Set(reflect.ValueOf(membercard.NewSensitive("secret")))
	case v.Type() == reflect.TypeFor[membercard.Timestamp]():
		v.Set(reflect.ValueOf(at("2026-08-08T10:00:00+08:00")))
	case v.Kind() == reflect.String:
		v.SetString("x")
	case v.Kind() == reflect.Int || v.Kind() == reflect.Int64:
		v.SetInt(1)
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillAll(v.Elem())
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillAll(v.Index(0))
	case v.Kind() == reflect.Struct:
		for _, field := range v.Fields() {
			fillAll(field)
		}
	}
}

// typesOf returns the members of a JSON value with their types, as the tables of the pages write them.
func typesOf(value any, name string) map[string]string {
	types := map[string]string{}
	switch v := value.(type) {
	case map[string]any:
		types[name] = "object"
		for member, inner := range v {
			maps.Copy(types, typesOf(inner, strings.TrimPrefix(name+"."+member, ".")))
		}
	case []any:
		maps.Copy(types, typesOf(v[0], name))
		types[name] = "array of " + types[name]
	case string:
		types[name] = "string"
	case float64:
		types[name] = "integer"
	case bool:
		types[name] = "boolean"
	}
	return types
}

func typesOfRows(rows []contractRow) map[string]string {
	types := map[string]string{}
	for _, row := range rows {
		types[row.Name] = map[string]string{"uint32": "integer", "uint64": "integer"}[row.Type]
		if types[row.Name] == "" {
			types[row.Name] = row.Type
		}
	}
	return types
}

// recorder keeps the last request and refuses it.
type recorder struct {
	request *http.Request
	body    []byte
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	r.request, r.body = request, nil
	if request.Body != nil {
		r.body, _ = io.ReadAll(request.Body)
	}
	return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: http.NoBody, Request: request}, nil
}

// TestContractRequests: a request with all its fields is what the page describes. Each parameter has its name, its place and its
// JSON type, and is encrypted where the sheets say so.
func TestContractRequests(t *testing.T) {
	t.Parallel()
	inEditions(t, contractRequests)
}

func contractRequests(t *testing.T, edition edition) {
	for _, page := range edition.pages(t) {
		sent := &recorder{}
		server := newServer(t, edition.options...)
		client := newClient(t, server, withTransport(sent))
		filled := reflect.New(reflect.TypeOf(table[page.Operation].request)).Elem()
		fillAll(filled)
		_, err := do(t.Context(), client, edition.withoutBrand(filled.Interface()))
		require.Error(t, err)
		require.NotNil(t, sent.request, "%s: %v", page.Operation, err)

		assert.Equal(t, page.Method, sent.request.Method, page.Operation)
		path := page.URL
		for _, p := range page.PathParams {
			path = strings.ReplaceAll(path, "{"+p.Name+"}", map[string]string{"string": "x", "integer": "1"}[p.Type])
		}
		assert.Equal(t, path, sent.request.URL.Path, page.Operation)
		query := slices.Sorted(maps.Keys(sent.request.URL.Query()))
		assert.Equal(t, slices.Sorted(maps.Keys(typesOfRows(page.Query))), query, page.Operation)
		var body any
		if len(sent.body) > 0 {
			body = asJSON(t, sent.body)
		}
		types := typesOf(body, "")
		delete(types, "")
		assert.Equal(t, typesOfRows(page.Body), types, page.Operation)
		assert.Equal(t, countEncrypted(page.Body), countCiphertexts(body), page.Operation)
		assert.Equal(t, len(page.Body) > 0, sent.request.Header.Get("Content-Type") != "", "a content type with a body and only then")
		assert.Equal(t, server.Config().PublicKeyID, sent.request.Header.Get("Wechatpay-Serial"))
	}
}

// countEncrypted returns how many parameters of a table are encrypted.
func countEncrypted(rows []contractRow) (n int) {
	for _, row := range rows {
		if row.Sealed {
			n++
		}
	}
	return n
}

// TestContractRequired: what the page requires is not left out.
func TestContractRequired(t *testing.T) {
	t.Parallel()
	inEditions(t, contractRequired)
}

func contractRequired(t *testing.T, edition edition) {
	for _, page := range edition.pages(t) {
		for _, row := range slices.Concat(page.PathParams, page.Query, page.Body) {
			if !row.Required || strings.Contains(row.Name, ".") || row.Type == "integer" && row.Name != "activity_id" {
				continue
			}
			filled := reflect.New(reflect.TypeOf(table[page.Operation].request)).Elem()
			fillAll(filled)
			for field, value := range filled.Fields() {
				if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name == row.Name {
					value.SetZero()
				}
			}
			sent := &recorder{}
			_, err := do(t.Context(), newClient(t, newServer(t, edition.options...), withTransport(sent)), edition.withoutBrand(filled.Interface()))
			assert.ErrorContains(t, err, "("+row.Name+") is required", page.Operation)
			assert.Nil(t, sent.request, page.Operation)
		}
	}
}

// valueOf returns a JSON value of a row's type.
func valueOf(t *testing.T, rows []contractRow, row contractRow) any {
	t.Helper()
	members := map[string]any{}
	for _, inner := range rows {
		if name, isMember := strings.CutPrefix(inner.Name, row.Name+"."); isMember && !strings.Contains(name, ".") {
			members[name] = valueOf(t, rows, inner)
		}
	}
	switch row.Type {
	case "string":
		if strings.HasSuffix(row.Name, "time") {
			return "2026-08-08T10:00:00+08:00"
		}
		if row.Sealed {
			return officialCiphertext(t)
		}
		return "x"
	case "integer", "uint32", "uint64":
		return 1
	case "boolean":
		return true
	case "object":
		return members
	case "array of string":
		return []any{valueOf(t, rows, contractRow{Name: row.Name, Type: "string", Sealed: row.Sealed})}
	case "array of object":
		return []any{members}
	}
	require.Fail(t, "unknown type", row.Type)
	return nil
}

// membersOf returns the names of the members that a type has as JSON, those of objects behind a point.
func membersOf(typ reflect.Type, prefix string) (names []string) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[membercard.Timestamp]() || typ == reflect.TypeFor[membercard.Sensitive]() {
		return nil
	}
	for field := range typ.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		names = append(names, prefix+name)
		names = append(names, membersOf(field.Type, prefix+name+".")...)
	}
	return names
}

// inOtherSources are members of answers that are in no row of their pages, and in other official sources.
var inOtherSources = map[membercard.Operation]string{
	membercard.OperationCreateUserFeed:        "openid",
	membercard.OperationConfirmPointsExchange: "fail_reason",
}

// TestContractResponses: everything that the page describes of an answer is found in the result, and nothing else.
func TestContractResponses(t *testing.T) {
	t.Parallel()
	for _, page := range contractPages(t) {
		if len(page.Response) == 0 {
			continue // a withdrawn page
		}
		answer := map[string]any{}
		for _, row := range page.Response {
			if !strings.Contains(row.Name, ".") {
				answer[row.Name] = valueOf(t, page.Response, row)
			}
		}
		data, err := json.Marshal(answer)
		require.NoError(t, err)
		result := reflect.New(answerOf(page.Operation))
		require.NoError(t, json.Unmarshal(data, result.Interface()), page.Operation)
		again, err := json.Marshal(result.Interface())
		require.NoError(t, err)
		assert.Equal(t, asJSON(t, data), asJSON(t, again), page.Operation)
		for _, name := range membersOf(answerOf(page.Operation), "") {
			if inOtherSources[page.Operation] == name {
				continue
			}
			assert.True(t, slices.ContainsFunc(page.Response, func(row contractRow) bool { return row.Name == name }), "%s: %s is in no row of its page", page.Operation, name)
		}
	}
}

// eventPage is an official page of a notification.
type eventPage struct {
	EventTypes []string        `json:"event_types"`
	Plaintext  []contractRow   `json:"plaintext"`
	Sample     json.RawMessage `json:"plaintext_sample"`
}

func eventPages(t *testing.T) (pages []eventPage) {
	t.Helper()
	require.NoError(t, json.Unmarshal(readFile(t, "membercardtest/contract/events.json"), &pages))
	return pages
}

// TestContractEvents: everything that the page describes of a notification's content is found in the event.
func TestContractEvents(t *testing.T) {
	t.Parallel()
	inEditions(t, contractEvents)
}

func contractEvents(t *testing.T, edition edition) {
	seen := 0
	for _, page := range eventPages(t) {
		for i, row := range page.Plaintext { // personal data is in clear here, and then printed as [redacted]
			page.Plaintext[i].Sealed = row.Name == "phone_number" || strings.HasSuffix(row.Name, "common_field_list.value") || strings.HasSuffix(row.Name, ".user_chosen_values")
		}
		content := map[string]any{}
		for _, row := range page.Plaintext {
			if !strings.Contains(row.Name, ".") {
				content[row.Name] = valueOf(t, page.Plaintext, row)
			}
		}
		data, err := json.Marshal(content)
		require.NoError(t, err)
		for _, eventType := range page.EventTypes {
			if edition.name == "brand" {
				eventType = strings.Replace(eventType, "BRAND_MEMBER_CARD_SP", "BRAND_MEMBER_CARD", 1)
			}
			server := newServer(t, edition.options...)
			notification, err := server.Client().ParseNotification(server.NotificationRequest(
				&membercard.UnknownEvent{Plaintext: data}, membercardtest.NotificationEventType(eventType)))
			require.NoError(t, err, eventType)
			_, unknown := notification.Event.(*membercard.UnknownEvent)
			assert.False(t, unknown, eventType)
			again, err := json.Marshal(notification.Event)
			require.NoError(t, err)
			assert.Equal(t, asJSON(t, data), asJSON(t, again), eventType)
			seen++
		}
	}
	assert.Equal(t, 4, seen)
}

// TestContractSamples: the official sample of a request decodes into the request type, and is what the client sends, but
// for the ciphertexts.
func TestContractSamples(t *testing.T) {
	t.Parallel()
	for _, page := range contractPages(t) {
		if page.Request.URL == "" {
			continue
		}
		request := reflect.New(reflect.TypeOf(table[page.Operation].request))
		if page.Request.Body != nil {
			require.NoError(t, json.Unmarshal(page.Request.Body, request.Interface()), page.Operation)
		}
		uri, err := url.Parse(page.Request.URL)
		require.NoError(t, err)
		for field, value := range request.Elem().Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			text := uri.Query().Get(name)
			if field.Tag.Get("in") == "path" || field.Tag.Get("in") == "path,personal" {
				segments := strings.Split(page.URL, "/")
				text = strings.Split(uri.Path, "/")[slices.Index(segments, "{"+name+"}")]
			}
			if text != "" {
				_, err := fmt.Sscan(text, value.Addr().Interface())
				require.NoError(t, err)
			}
		}
		encryptAnew(request.Elem())
		sent := &recorder{}
		_, err = do(t.Context(), newClient(t, newServer(t), withTransport(sent)), request.Elem().Interface())
		require.Error(t, err)
		require.NotNil(t, sent.request, "%s: %v", page.Operation, err)
		assert.Equal(t, uri.Path, sent.request.URL.Path, page.Operation)
		assert.Equal(t, uri.Query(), sent.request.URL.Query(), page.Operation)
		if page.Request.Body != nil {
			assert.Equal(t, withoutCiphertexts(asJSON(t, page.Request.Body)), withoutCiphertexts(asJSON(t, sent.body)), page.Operation)
		}
	}
}

// encryptAnew puts a plaintext into every Sensitive that is set.
func encryptAnew(v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[membercard.Sensitive]():
		if !v.IsZero() {
			v.Set(reflect.ValueOf(membercard.NewSensitive("secret")))
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		encryptAnew(v.Elem())
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			encryptAnew(v.Index(i))
		}
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[membercard.Timestamp]():
		for _, field := range v.Fields() {
			encryptAnew(field)
		}
	}
}
