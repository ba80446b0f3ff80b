// Package redact turns foreign text into text that may be printed: one line, of bounded length, without the
// values that must not be shown.
package redact

import (
	"html"
	"net/url"
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

	maxEscape = 6 // bytes that an escaped byte of a value takes in the usual ways, such as \u0041
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
	read, longest := readingOf(text), 0
	compact := read.compact()
	for _, value := range s {
		longest = max(longest, maxEscape*len(value))
		sought := readingOf(value)
		if len(value) >= 4*partLength {
			whole := sought.compact().text
			compact.hide(hidden, text, whole, false)
			for rest := whole; len(rest) >= partLength; rest = rest[partLength:] {
				compact.hide(hidden, text, rest[:partLength], false)
			}
			continue
		}
		short := utf8.RuneCountInString(value) < minSecret
		if short && !strings.ContainsFunc(value, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }) {
			continue // a point or a dash tells nothing
		}
		read.hide(hidden, text, sought.text, short)
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

// reading is a text as a reader takes it: without the escapes of URLs, JSON, Go and HTML. A plus sign is a space, as it may be one.
type reading struct {
	text     string
	from, to []int // where each byte of it stands in the source
}

func readingOf(source string) reading {
	r := reading{text: source, from: make([]int, len(source)), to: make([]int, len(source))}
	for i := range len(source) {
		r.from[i], r.to[i] = i, i+1
	}
	for range 3 { // somebody may have escaped what was escaped
		if r = r.rewritten(unescape); !strings.ContainsAny(r.text, `%\&`) {
			break
		}
	}
	r.text = strings.ReplaceAll(r.text, "+", " ")
	return r
}

// compact leaves out what may stand between the lines of a long value.
func (r reading) compact() reading {
	return r.rewritten(func(text string) (string, int) {
		if strings.IndexByte(" \r\n\t", text[0]) >= 0 {
			return "", 1
		}
		return text[:1], 1
	})
}

// rewritten returns the reading with its pieces replaced. next returns what stands for the beginning of a text, and how much of it
// that is.
func (r reading) rewritten(next func(text string) (string, int)) reading {
	var text strings.Builder
	result := reading{from: make([]int, 0, len(r.text)), to: make([]int, 0, len(r.text))}
	for i := 0; i < len(r.text); {
		piece, length := next(r.text[i:])
		text.WriteString(piece)
		for range len(piece) {
			result.from, result.to = append(result.from, r.from[i]), append(result.to, r.to[i+length-1])
		}
		i += length
	}
	result.text = text.String()
	return result
}

// unescape returns what the escape at the beginning of a text stands for, and its length; the first byte where there is none.
func unescape(text string) (string, int) {
	switch text[0] {
	case '%':
		if plain, err := url.PathUnescape(text[:min(3, len(text))]); err == nil {
			return plain, 3
		}
	case '\\':
		if strings.HasPrefix(text, `\/`) {
			return "/", 2
		}
		if r, multibyte, rest, err := strconv.UnquoteChar(text, '"'); err == nil {
			if multibyte {
				return string(r), len(text) - len(rest)
			}
			return string([]byte{byte(r & 0xFF)}), len(text) - len(rest)
		}
	case '&':
		name, _, ends := strings.Cut(text[:min(10, len(text))], ";")
		if plain := html.UnescapeString(name + ";"); ends && plain != name+";" {
			return plain, len(name + ";")
		}
	}
	return text[:1], 1
}

// hide marks where a value stands in the source of a reading; with alone only where it is not a part of a longer word or number.
func (r reading) hide(hidden []bool, source, value string, alone bool) {
	end := 0 // of the last one, in the source
	for at := 0; value != ""; at++ {
		i := strings.Index(r.text[at:], value)
		if i < 0 {
			return
		}
		at += i
		from, to := r.from[at], r.to[at+len(value)-1]
		if alone && (from > 0 && isWord(source[from-1]) || to < len(source) && isWord(source[to])) {
			continue
		}
		for j := max(from, end); j < to; j++ {
			hidden[j] = true
		}
		end = to
	}
}

// isWord reports whether a byte is an ASCII letter or digit. Chinese text has no spaces between words.
func isWord(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
}
