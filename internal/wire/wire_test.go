package wire

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadAll(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 513, 70000, 99999, 100000, 100001, 200000} {
		for _, length := range []int64{int64(size), -1, 0, 5, 1 << 40} {
			data := bytes.Repeat([]byte("x"), size)
			for _, body := range []io.Reader{bytes.NewReader(data), iotest.OneByteReader(bytes.NewReader(data)), iotest.DataErrReader(bytes.NewReader(data))} {
				read, err := ReadAll(body, length, 100000)
				require.NoError(t, err)
				assert.Equal(t, data[:min(size, 100001)], read, "at most one byte more than the limit")
			}
		}
	}
	broken := errors.New("broken")
	read, err := ReadAll(io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)), -1, 100)
	require.ErrorIs(t, err, broken)
	assert.Equal(t, "half", string(read))
}

// TestReadAllInOnePiece: a body of the announced length needs no more space than it has.
func TestReadAllInOnePiece(t *testing.T) {
	data := bytes.Repeat([]byte("x"), 5000)
	for _, limit := range []int{5000, 6000} {
		read, err := ReadAll(bytes.NewReader(data), int64(len(data)), limit)
		require.NoError(t, err)
		assert.Equal(t, 5001, cap(read))
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "60": time.Minute, "61": time.Minute, "99999999999999999999": time.Minute,
		"-1": 0, "-99999999999999999999": 0, "x": 0, "1.5": 0,
		now.Add(20 * time.Second).Format(http.TimeFormat): 20 * time.Second,
		now.Add(time.Hour).Format(http.TimeFormat):        time.Minute,
		now.Add(-time.Hour).Format(http.TimeFormat):       0,
	} {
		assert.Equal(t, want, RetryAfter(value, now), "%q", value)
	}
}
