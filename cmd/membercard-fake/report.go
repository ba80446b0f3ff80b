package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/wechatpay-cards/membercard/membercardtest"
)

// report writes the lines of the program.
type report struct {
	out      io.Writer
	json     bool
	language string
}

// listening writes the first line.
func (r *report) listening(c config, configFile string) {
	if r.json {
		_ = json.NewEncoder(r.out).Encode(map[string]string{"listening": c.BaseURL, "control": c.ControlURL, "config": configFile})
		return
	}
	line := "listening " + c.BaseURL
	if c.ControlURL != "" {
		line += " control " + c.ControlURL
	}
	fmt.Fprintln(r.out, line+" config "+configFile)
}

// request writes the line about a request. A query can hold an openid and is left out.
func (r *report) request(q membercardtest.Request) {
	operation := string(q.Operation)
	if operation == "" {
		operation = "?"
	}
	if r.json {
		_ = json.NewEncoder(r.out).Encode(map[string]any{
			"time": q.Time.Format(time.RFC3339Nano), "number": q.Number, "operation": q.Operation, "method": q.Method, "path": q.Path,
			"request_id": q.RequestID, "status": q.Status, "code": q.Code, "reason": inLanguage(r.language, q), "source": q.Source, "violation": q.Violation,
		})
		return
	}
	line := fmt.Sprintf("%s #%d %s %s %s %d", q.Time.Format("15:04:05.000"), q.Number, operation, q.Method, q.Path, q.Status)
	if q.Code != "" {
		line += " " + q.Code
	}
	if q.RequestID != "" {
		line += " " + q.RequestID
	}
	if reason := inLanguage(r.language, q); reason != "" {
		line += ": " + reason
	}
	fmt.Fprintln(r.out, line)
}
