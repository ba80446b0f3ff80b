// Package wire holds what a client needs to know of its connection: how much of a body to read, how long the
// service asks it to wait, and what of a request has left this machine.
package wire

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// ReadAll reads a body whose length is announced, -1 for unknown. It reads at most one byte more than limit, so
// that a longer body can be told from a complete one.
func ReadAll(body io.Reader, length int64, limit int) ([]byte, error) {
	size := int64(bytes.MinRead)
	if length >= 0 && length <= int64(limit) {
		size = min(length+1, 64<<10) // the end is then seen without growing; nobody has proven the length
	}
	data := make([]byte, 0, size)
	for len(data) <= limit {
		n, err := body.Read(data[len(data):min(cap(data), limit+1)])
		data = data[:len(data)+n]
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return data, err
		}
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
	}
	return data, nil
}

const maxRetryAfter = time.Minute // the longest that the service can make us wait

// RetryAfter reads the seconds or the date of a Retry-After header, up to a minute.
func RetryAfter(value string, now time.Time) time.Duration {
	var d time.Duration
	if seconds, err := strconv.Atoi(value); err == nil || errors.Is(err, strconv.ErrRange) {
		d = time.Duration(min(seconds, 3600)) * time.Second
	} else if date, err := http.ParseTime(value); err == nil {
		d = date.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}
