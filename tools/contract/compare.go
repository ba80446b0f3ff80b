package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Compare returns in words what a page says otherwise than the contract, one line each.
func Compare(known, page Page) []string {
	var lines []string
	say := func(format string, args ...any) {
		lines = append(lines, known.Operation+" ("+known.Doc+"): "+fmt.Sprintf(format, args...))
	}
	changed := func(what string, before, now any) {
		if !reflect.DeepEqual(before, now) {
			say("%s is %v, was %v", what, now, before)
		}
	}
	changed("the date", known.Date, page.Date)
	changed("the method", known.Method, page.Method)
	changed("the path", known.URL, page.URL)
	changed("the limit a second", known.Rate, page.Rate)
	for _, table := range []struct {
		place         string
		before, after []Row
	}{
		{"header", known.Header, page.Header},
		{"path", known.PathParams, page.PathParams},
		{"query", known.Query, page.Query},
		{"body", known.Body, page.Body},
		{"answer", known.Response, page.Response},
	} {
		for _, before := range table.before {
			at := slices.IndexFunc(table.after, func(r Row) bool { return r.Name == before.Name })
			if at < 0 {
				say("%s: %s is gone%s", table.place, before.Name, elsewhere(page, table.place, before.Name))
				continue
			}
			now := table.after[at]
			name := table.place + ": " + before.Name
			changed(name+": the type", before.Type, now.Type)
			changed(name+": required", before.Required, now.Required)
			changed(name+": the length", before.Max, now.Max)
			changed(name+": the values", strings.Join(before.Enum, ", "), strings.Join(now.Enum, ", "))
			changed(name+": the title", before.Title, now.Title)
		}
		for _, now := range table.after {
			if !slices.ContainsFunc(table.before, func(r Row) bool { return r.Name == now.Name }) {
				say("%s: %s is new, %s, required %v", table.place, now.Name, now.Type, now.Required)
			}
		}
	}
	for _, before := range known.Errors {
		if !slices.ContainsFunc(page.Errors, func(e ErrorRow) bool { return same(e, before) }) {
			say("errors: gone: %d %s %s", before.Status, before.Code, before.Message)
		}
	}
	for _, now := range page.Errors {
		if !slices.ContainsFunc(known.Errors, func(e ErrorRow) bool { return same(e, now) }) {
			say("errors: new: %d %s %s", now.Status, now.Code, now.Message)
		}
	}
	if page.ResponseSample != nil && !sameJSON(known.ResponseSample, page.ResponseSample) {
		say("the sample of the answer is another")
	}
	return lines
}

// elsewhere says where a parameter that left a place has gone.
func elsewhere(page Page, place, name string) string {
	for where, rows := range map[string][]Row{"path": page.PathParams, "query": page.Query, "body": page.Body} {
		if where != place && place != "answer" && slices.ContainsFunc(rows, func(r Row) bool { return r.Name == name }) {
			return ", it is in the " + where + " now"
		}
	}
	return ""
}

// same compares errors without the kinds of blanks.
func same(a, b ErrorRow) bool {
	plain := func(text string) string {
		return strings.Join(strings.Fields(strings.ReplaceAll(text, "\u00a0", " ")), " ")
	}
	return a.Status == b.Status && a.Code == b.Code && plain(a.Message) == plain(b.Message)
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// Renew returns the contract's page with what the page says now. The names, the request's sample and what is encrypted
// are not on it.
func Renew(known, page Page) Page {
	page.Operation, page.Title, page.Doc, page.RequestSample = known.Operation, known.Title, known.Doc, known.RequestSample
	if page.ResponseSample == nil || sameJSON(known.ResponseSample, page.ResponseSample) {
		page.ResponseSample = known.ResponseSample
	}
	for _, pair := range [][2][]Row{
		{known.PathParams, page.PathParams}, {known.Query, page.Query}, {known.Body, page.Body}, {known.Response, page.Response},
	} {
		for i := range pair[1] {
			for _, before := range pair[0] {
				if before.Name == pair[1][i].Name {
					pair[1][i].Sealed = before.Sealed
				}
			}
		}
	}
	return page
}
