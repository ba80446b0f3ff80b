package membercard_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// TestUploadImageRefuses what the client can be sure of.
func TestUploadImageRefuses(t *testing.T) {
	t.Parallel()
	assertRefused(t, map[string]any{
		"UploadImage: Content is required":                                                      membercard.UploadImageRequest{Filename: "a.png"},
		"UploadImage: Content has 2097153 bytes, at most 2097152 are allowed":                   membercard.UploadImageRequest{Filename: "a.png", Content: append(bytes.Clone(picture), make([]byte, 2<<20+1-len(picture))...)},
		"UploadImage: Content is text/plain; charset=utf-8, not a JPG, BMP or PNG picture":      membercard.UploadImageRequest{Filename: "a.png", Content: []byte("text")},
		"UploadImage: Filename must end in .jpg, .bmp or .png":                                  membercard.UploadImageRequest{Filename: "a.gif", Content: picture},
		"UploadImage: Filename must be printable ASCII":                                         membercard.UploadImageRequest{Filename: "图.png", Content: picture},
		"UploadImage: Filename must be printable ASCII without quotes, slashes and backslashes": membercard.UploadImageRequest{Filename: "a\".png", Content: picture},
		"UploadImage: Path must be a path such as /v3/marketing":                                membercard.UploadImageRequest{Filename: "a.PNG", Content: picture, Path: "/v3/../x"},
	})
}

// TestUploadImage: only the meta part is signed, as the independent fake demands, and the parts are as
// documented.
func TestUploadImage(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	answer, err := server.Client().UploadImage(t.Context(), membercard.UploadImageRequest{Filename: "card.png", Content: picture})
	require.NoError(t, err)
	stored, ok := server.Picture(answer.MediaURL)
	require.True(t, ok)
	assert.Equal(t, picture, stored)

	sent := server.Requests()[0]
	_, parameters, err := mime.ParseMediaType(sent.Header.Get("Content-Type"))
	require.NoError(t, err)
	form, err := multipart.NewReader(bytes.NewReader(sent.Body), parameters["boundary"]).ReadForm(1 << 20)
	require.NoError(t, err)
	digest := sha256.Sum256(picture)
	assert.JSONEq(t, fmt.Sprintf(`{"filename":"card.png","sha256":%q}`, hex.EncodeToString(digest[:])), form.Value["meta"][0])
	assert.Equal(t, "card.png", form.File["file"][0].Filename)
	assert.Equal(t, "image/png", form.File["file"][0].Header.Get("Content-Type"))
	assert.EqualValues(t, len(picture), form.File["file"][0].Size)

	t.Run("another path and digest field, in the fake", func(t *testing.T) {
		server := membercardtest.NewTestServer(t, membercardtest.WithUpload("/brand/card-member/media/image-upload", "file_digest"))
		_, err := server.Client().UploadImage(t.Context(), membercard.UploadImageRequest{
			Filename: "card.png", Content: picture, Path: "/brand/card-member/media/image-upload", DigestField: "file_digest",
		})
		require.NoError(t, err)
		server = membercardtest.NewTestServer(t, membercardtest.AllowViolations())
		_, err = server.Client().UploadImage(t.Context(), membercard.UploadImageRequest{Filename: "card.png", Content: picture, Path: "/elsewhere"})
		apiError, ok := errors.AsType[*membercard.APIError](err)
		require.True(t, ok)
		assert.Equal(t, 404, apiError.StatusCode)
		require.NotErrorIs(t, err, membercard.ErrNotFound, "no such URL, and not a wrong signature")
	})
	t.Run("another path and digest field", func(t *testing.T) {
		var uri, body string
		client := newClient(t, server, noRetries, withTransport(roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			data, _ := io.ReadAll(r.Body)
			uri, body = r.URL.RequestURI(), string(data)
			return nil, assert.AnError
		})))
		_, err := client.UploadImage(t.Context(), membercard.UploadImageRequest{
			Filename: "card.png", Content: picture, Path: "/brand/card-member/media/image-upload", DigestField: "file_digest",
		})
		require.ErrorIs(t, err, assert.AnError)
		assert.Equal(t, "/brand/card-member/media/image-upload", uri)
		assert.Contains(t, body, `"file_digest":"`+hex.EncodeToString(digest[:])+`"`)
		assert.NotContains(t, body, `"sha256"`)
	})
}
