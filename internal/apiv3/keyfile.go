package apiv3

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
)

// item is what stands between a BEGIN and an END line, or a file without such lines.
type item struct {
	label     string // of the BEGIN line; empty where there is none
	der       []byte
	encrypted bool // a header line says so
}

// The lines of PEM, as editors with long dashes write them, too.
var (
	beginLine = regexp.MustCompile(`\p{Pd}+\s*BEGIN ([A-Z0-9 ]+?)\s*\p{Pd}+`)
	endLine   = regexp.MustCompile(`\p{Pd}+\s*END [A-Z0-9 ]+?\s*\p{Pd}+`)
	fileName  = regexp.MustCompile(`(?i)^(([a-z]:)?[\\/.~]\S*|\S*\.(pem|key|crt|cer|p12|pfx|txt))$`)
)

// contentOf finds the keys and certificates in a file. Where there is none, flaw says what the file is.
func contentOf(data []byte) (items []item, flaw string) {
	if len(data) > 1 && data[0] == 0x30 && data[1] >= 0x80 { // an ASN.1 sequence
		return []item{{der: data}}, ""
	}
	text := PlainText(data)
	rest := text
	for begin := beginLine.FindStringSubmatchIndex(rest); begin != nil; begin = beginLine.FindStringSubmatchIndex(rest) {
		label := rest[begin[2]:begin[3]]
		rest = rest[begin[1]:]
		end := endLine.FindStringIndex(rest)
		if end == nil {
			return nil, "a damaged PEM file: its END line is missing"
		}
		body := rest[:end[0]]
		rest = rest[end[1]:]
		der, ok := fromBase64(body)
		encrypted := strings.Contains(body, "DEK-Info")
		if !ok && !encrypted {
			return nil, "a damaged PEM file: what stands between BEGIN and END is no Base64"
		}
		items = append(items, item{label, der, encrypted})
	}
	decoded, isBase64 := fromBase64(text)
	switch {
	case len(items) > 0:
	case text == "":
		return nil, "an empty file"
	case isBase64 && len(decoded) > 64: // the file without its BEGIN and END lines, or all of it once more in Base64
		return contentOf(decoded)
	case fileName.MatchString(text):
		return nil, "the name of a file, and not what is in it"
	default:
		return nil, "no PEM file"
	}
	return items, ""
}

// PlainText returns a file as UTF-8, without what stands around its text: byte order mark, white space, quotes.
func PlainText(data []byte) string {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(data, []byte{0xFE, 0xFF}), len(data) > 1 && data[0] == 0:
		order = binary.BigEndian
	case bytes.HasPrefix(data, []byte{0xFF, 0xFE}), len(data) > 1 && data[1] == 0:
		order = binary.LittleEndian
	}
	text := string(data)
	if order != nil {
		units := make([]uint16, len(data)/2)
		for i := range units {
			units[i] = order.Uint16(data[2*i:])
		}
		text = string(utf16.Decode(units))
	}
	text = strings.NewReplacer(`\r`, "\n", `\n`, "\n", "\ufeff", "", "\u200b", "").Replace(text)
	return strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '"' || r == '\'' || r == '`' })
}

// fromBase64 decodes Base64 with white space anywhere.
func fromBase64(text string) ([]byte, bool) {
	compact := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '"' || r == '\\' { // what a source file puts around lines
			return -1
		}
		return r
	}, text)
	der, err := base64.StdEncoding.DecodeString(compact)
	return der, err == nil && len(der) > 0
}
