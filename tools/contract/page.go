package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Page is an official page of an operation, as the contract has it.
type Page struct {
	Operation      string          `json:"operation"`
	Title          string          `json:"title"`
	Doc            string          `json:"doc"`
	Date           string          `json:"date"`
	Method         string          `json:"method"`
	URL            string          `json:"url"`
	Rate           int             `json:"rate_per_second,omitempty"`
	Header         []Row           `json:"header"`
	PathParams     []Row           `json:"path_params,omitempty"`
	Query          []Row           `json:"query,omitempty"`
	Body           []Row           `json:"body,omitempty"`
	Response       []Row           `json:"response"`
	Errors         []ErrorRow      `json:"errors"`
	RequestSample  json.RawMessage `json:"request_sample"`
	ResponseSample json.RawMessage `json:"response_sample"`
}

// Row is a row of a table of parameters.
type Row struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Required bool     `json:"required"`
	Max      int      `json:"max,omitempty"`
	Enum     []string `json:"enum,omitempty"`
	Title    string   `json:"title,omitempty"`
	Sealed   bool     `json:"sealed,omitempty"` // what the page says in words, kept by hand
}

// ErrorRow is a row of the table of errors.
type ErrorRow struct {
	Status  int    `json:"status"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

var (
	date       = regexp.MustCompile(`更新时间：(\d{4}\.\d\d\.\d\d)`)
	request    = regexp.MustCompile("请求方式：【([A-Z]+)】\\s*`([^`]+)`")
	rate       = regexp.MustCompile(`接口限频：(\d+)/秒`)
	sized      = regexp.MustCompile(`^(.*)\((\d+)\)(\]?)$`)
	title      = regexp.MustCompile(`^【([^】]+)】`)
	choice     = regexp.MustCompile("<li>`([^`]+)`")
	ciphertext = regexp.MustCompile(`"[A-Za-z0-9+/]{300,}={0,2}"`)
)

// ParsePage reads a page that was saved as Markdown. What the page does not have stays empty.
func ParsePage(text string) (Page, error) {
	var p Page
	if m := date.FindStringSubmatch(text); m != nil {
		p.Date = m[1]
	}
	m := request.FindStringSubmatch(text)
	if m == nil {
		return p, errors.New("the page has no line 请求方式 with a method and a path: is it the page of an operation?")
	}
	p.Method, p.URL = m[1], strings.TrimSpace(m[2])
	if m := rate.FindStringSubmatch(text); m != nil {
		p.Rate, _ = strconv.Atoi(m[1])
	}
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if heading, isHeading := strings.CutPrefix(line, "#"); isHeading {
			section = strings.TrimSpace(strings.TrimLeft(heading, "#"))
			continue
		}
		cells, isRow := cellsOf(line)
		if !isRow || len(cells) < 4 {
			continue
		}
		if section == "错误码" {
			if status, err := strconv.Atoi(cells[0]); err == nil {
				p.Errors = append(p.Errors, ErrorRow{status, cells[1], cells[2]})
			}
			continue
		}
		row, err := rowOf(cells)
		if err != nil {
			return p, fmt.Errorf("%s: %w", section, err)
		}
		if row == nil { // the head of the table
			continue
		}
		switch section {
		case "Header 参数":
			row.Title = ""
			p.Header = append(p.Header, *row)
		case "Path 参数":
			p.PathParams = append(p.PathParams, *row)
		case "Query 参数":
			p.Query = append(p.Query, *row)
		case "Body 参数":
			p.Body = append(p.Body, *row)
		case "应答参数":
			p.Response = append(p.Response, *row)
		}
	}
	p.ResponseSample = sampleOf(text)
	if len(p.Response) == 0 || len(p.Errors) == 0 {
		return p, errors.New("the page has no table 应答参数 or 错误码: was it saved whole?")
	}
	return p, nil
}

// cellsOf splits a row of a Markdown table.
func cellsOf(line string) (cells []string, isRow bool) {
	if !strings.HasPrefix(line, "|") || !strings.HasSuffix(line, "|") {
		return nil, false
	}
	const bar = "\x00" // an escaped one
	line = strings.ReplaceAll(line, `\|`, bar)
	for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
		cell = strings.ReplaceAll(strings.TrimSpace(cell), bar, "|")
		cells = append(cells, unescape.Replace(cell))
	}
	return cells, true
}

// unescape undoes what Markdown needs before its own characters.
var unescape = strings.NewReplacer(`\_`, `_`, `\*`, `*`, `\[`, `[`, `\]`, `]`)

// rowOf reads a row of a table of parameters: name, type, required, description. nil is the head of the table.
func rowOf(cells []string) (*Row, error) {
	if cells[2] != "true" && cells[2] != "false" {
		return nil, nil
	}
	row := Row{Name: cells[0], Required: cells[2] == "true"}
	kind := cells[1]
	if m := sized.FindStringSubmatch(kind); m != nil {
		kind = m[1] + m[3]
		row.Max, _ = strconv.Atoi(m[2])
	}
	if inner, isArray := strings.CutPrefix(kind, "array["); isArray {
		inner = strings.TrimSuffix(inner, "]")
		if m := sized.FindStringSubmatch(inner); m != nil {
			inner = m[1]
			row.Max, _ = strconv.Atoi(m[2])
		}
		kind = "array of " + inner
	}
	switch kind {
	case "string", "integer", "boolean", "object", "array of string", "array of object", "message":
		row.Type = kind
	default:
		return nil, fmt.Errorf("%s has a type that the contract does not know: %s", row.Name, cells[1])
	}
	description := strings.Join(cells[3:], "|")
	if m := title.FindStringSubmatch(description); m != nil {
		row.Title = m[1]
	}
	for _, m := range choice.FindAllStringSubmatch(description, -1) {
		row.Enum = append(row.Enum, m[1])
	}
	return &row, nil
}

// sampleOf returns the sample of the answer, its ciphertexts named as in the contract; nil when there is none.
func sampleOf(text string) json.RawMessage {
	_, rest, found := strings.Cut(text, "应答示例")
	if !found {
		return nil
	}
	_, rest, found = strings.Cut(rest, "```")
	sample, _, closed := strings.Cut(rest, "```")
	if sample = sample[max(0, strings.IndexByte(sample, '{')):]; !found || !closed {
		return nil
	}
	var compact bytes.Buffer
	if json.Compact(&compact, ciphertext.ReplaceAll([]byte(sample), []byte(`"CIPHERTEXT"`))) != nil {
		return nil
	}
	return compact.Bytes()
}
