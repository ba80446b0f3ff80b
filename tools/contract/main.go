// Contract says what the official pages have that the contract of this project has not, or otherwise. It exits with
// status 1 when there is something.
//
//	go run . [-fetch] [-write] FOLDER
//
// The folder holds pages as Markdown, named by document id: 4015336985.md. With -fetch they are fetched into it first. With
// -write the contract is renewed; the contract tests of the root package then say what to change in the client.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

func main() {
	drift, err := run(os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "contract:", err)
		os.Exit(2)
	case drift:
		os.Exit(1)
	}
}

// contract is the file with all pages.
type contract struct {
	Source     string `json:"source"`
	Operations []Page `json:"operations"`
}

func run(args []string, out io.Writer) (drift bool, err error) {
	flags := flag.NewFlagSet("contract", flag.ContinueOnError)
	file := flags.String("contract", "../../membercardtest/contract/partner.json", "the contract, a JSON `file`")
	fetching := flags.Bool("fetch", false, "fetch the pages into the folder first")
	from := flags.String("from", "https://pay.weixin.qq.com/doc/v3/partner/", "fetch from below this `URL`")
	write := flags.Bool("write", false, "renew the contract")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	if flags.NArg() != 1 {
		return false, errors.New("give the folder of the pages")
	}
	data, err := os.ReadFile(*file)
	if err != nil {
		return false, err
	}
	var known contract
	if err := json.Unmarshal(data, &known); err != nil {
		return false, fmt.Errorf("%s: %w", *file, err)
	}
	read := 0
	for i, operation := range known.Operations {
		path := filepath.Join(flags.Arg(0), operation.Doc+".md")
		if *fetching {
			if err := fetch(*from+operation.Doc+".md", path); err != nil {
				return drift, err
			}
		}
		text, err := os.ReadFile(path) //nolint:gosec // in the folder that was named
		if errors.Is(err, os.ErrNotExist) {
			_, _ = fmt.Fprintf(out, "%s (%s): there is no %s\n", operation.Operation, operation.Doc, path)
			drift = true
			continue
		}
		if err != nil {
			return drift, err
		}
		read++
		page, err := ParsePage(string(text))
		if err != nil {
			return drift, fmt.Errorf("%s: %w", path, err)
		}
		for _, line := range Compare(operation, page) {
			_, _ = fmt.Fprintln(out, line)
			drift = true
		}
		known.Operations[i] = Renew(operation, page)
	}
	_, _ = fmt.Fprintf(out, "%d of %d pages read\n", read, len(known.Operations))
	if *write && drift {
		return drift, os.WriteFile(*file, known.encode(), 0o644) //nolint:gosec // for everybody to read
	}
	return drift, nil
}

func fetch(url, path string) error {
	client := http.Client{Timeout: 30 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, 4<<20))
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return os.WriteFile(path, data, 0o644) //nolint:gosec // for everybody to read
}

// encode writes a row on a line, so that a change of one is a change of one line.
func (c contract) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n\"source\": %s,\n\"operations\": [\n", oneLine(c.Source))
	for i, p := range c.Operations {
		b.WriteString(" {\n")
		write := func(name string, value any) { fmt.Fprintf(&b, "  %q: %s,\n", name, oneLine(value)) }
		write("operation", p.Operation)
		write("title", p.Title)
		write("doc", p.Doc)
		write("date", p.Date)
		write("method", p.Method)
		write("url", p.URL)
		if p.Rate > 0 {
			write("rate_per_second", p.Rate)
		}
		writeRows(&b, "header", p.Header)
		writeRows(&b, "path_params", p.PathParams)
		writeRows(&b, "query", p.Query)
		writeRows(&b, "body", p.Body)
		writeRows(&b, "response", p.Response)
		writeRows(&b, "errors", p.Errors)
		write("request_sample", p.RequestSample)
		fmt.Fprintf(&b, "  \"response_sample\": %s\n }", oneLine(p.ResponseSample))
		if i < len(c.Operations)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("]\n}\n")
	return b.Bytes()
}

func writeRows[T any](b *bytes.Buffer, name string, rows []T) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, "  %q: [\n", name)
	for i, row := range rows {
		b.WriteString("    " + oneLine(row))
		if i < len(rows)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("  ],\n")
}

// oneLine returns a value as JSON on one line, with a blank behind colons and commas.
func oneLine(value any) string {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err)
	}
	var line bytes.Buffer
	quoted, escaped := false, false
	for _, c := range bytes.TrimSpace(encoded.Bytes()) {
		line.WriteByte(c)
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ':' || c == ','):
			line.WriteByte(' ')
		}
	}
	return line.String()
}
