// Package redact turns foreign text into text that may be printed: one line, of bounded length, without the
// values that must not be shown.
package redact

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	minSecret  = 6       // characters; a shorter value is cut out where it stands alone, or it would cut up ordinary words
	maxText    = 4 << 10 // bytes of a text that are looked at
	maxLine    = 600     // characters of a line
	partLength = 16      // a long value is also cut out where a part of this length stands
	omission   = "[…]"
)

// Secrets are values that no text may quote.
type Secrets []string

// Line returns text as one line without the secrets, in whatever form somebody else wrote them. What was cut out
// is replaced by […]. The work does not grow with a text beyond a few KiB.
func (s Secrets) Line(text string) string {
	overlong := len(text) > maxText
	if overlong {
		text = text[:maxText]
	}
	hidden := make([]bool, len(text)) // overlapping values are cut out whole, and nothing is sought in what was put in
	longest := 0
	for _, value := range s {
		for _, form := range forms(value) {
			hide(hidden, text, form, utf8.RuneCountInString(value) < minSecret)
			longest = max(longest, len(form))
		}
	}
	if overlong { // the end may be the beginning of a secret
		text = text[:max(0, len(text)-longest)]
	}
	var b strings.Builder
	for i := range len(text) {
		switch {
		case !hidden[i]:
			b.WriteByte(text[i])
		case i == 0 || !hidden[i-1]:
			b.WriteString(omission)
		}
	}
	return Cut(strings.Map(printable, b.String()), maxLine)
}

// Cut shortens text to a number of characters.
func Cut(text string, most int) string {
	for i := range text {
		if most--; most < 0 {
			return text[:i] + "…"
		}
	}
	return text
}

// printable replaces line breaks, other control characters, and what changes the direction of text.
func printable(r rune) rune {
	if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
		return ' '
	}
	return r
}

// forms returns how a value may be written: as it is, and escaped for URLs, for JSON and by Go.
func forms(value string) []string {
	if utf8.RuneCountInString(value) < minSecret && !strings.ContainsFunc(value, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }) {
		return nil // a point or a dash tells nothing
	}
	quoted, _ := json.Marshal(value)
	query, path := url.QueryEscape(value), url.PathEscape(value)
	strict := strings.ReplaceAll(query, "+", "%20")
	all := []string{value}
	for _, form := range []string{
		strict, query, path, lowerEscapes(strict), lowerEscapes(query), lowerEscapes(path),
		unquoted(string(quoted)), unquoted(strconv.Quote(value)), unquoted(strconv.QuoteToASCII(value)),
	} {
		if form != value {
			all = append(all, form)
		}
	}
	for rest := value; len(value) >= 4*partLength && len(rest) >= partLength; rest = rest[partLength:] {
		all = append(all, rest[:partLength])
	}
	return all
}

// hide marks where a form of a value stands in a text; with alone only where it is not a part of a longer word or number.
func hide(hidden []bool, text, form string, alone bool) {
	end := 0 // of the last one
	for from := 0; ; from++ {
		i := strings.Index(text[from:], form)
		if i < 0 {
			return
		}
		from += i
		if alone && (from > 0 && isWord(text[from-1]) || from+len(form) < len(text) && isWord(text[from+len(form)])) {
			continue
		}
		for j := max(from, end); j < from+len(form); j++ {
			hidden[j] = true
		}
		end = from + len(form)
	}
}

// isWord reports whether a byte is an ASCII letter or digit. Chinese text has no spaces between words.
func isWord(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
}

var escapes = regexp.MustCompile(`%[0-9A-F]{2}`)

func lowerEscapes(s string) string { return escapes.ReplaceAllStringFunc(s, strings.ToLower) }

func unquoted(s string) string { return s[1 : len(s)-1] }
