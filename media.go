package membercard

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

const maxImage = 2 << 20

var uploadPath = regexp.MustCompile(`^(/[A-Za-z0-9_-]+)+$`)

// UploadImageRequest is a picture to upload. Filename and Content are required.
type UploadImageRequest struct {
	Filename string // ends in .jpg, .bmp or .png; printable ASCII without quotes and backslashes
	Content  []byte // JPG, BMP or PNG, at most 2 MB; as a card picture below 1 MB

	// No page says for certain which upload a service provider uses for card pictures. Path and
	// DigestField change the default, the marketing upload: its path, and the name its digest has there,
	// sha256. The brand edition's upload has file_digest.
	Path        string
	DigestField string
}

// UploadImageResponse has the address of an uploaded picture.
type UploadImageResponse struct {
	MediaURL string `json:"media_url"` // permanent; for CardPictureURL
}

// UploadImage uploads a picture (图片上传) and returns its address, the only kind that a card's picture may have. The
// file's type and size are checked before anything is sent. The service takes 2 MB; a card's picture must be below 1
// MB.
//
// [ErrForbidden] (REQUEST_BLOCKED) means that the service takes the file for no JPG, BMP or PNG picture, or that it differs from
// what was signed. After [ErrOutcomeUnknown] upload it again: that gives the address, the same or another.
//
// Rate limit: none documented (2025.11.14). Retried automatically with identical bytes. Document 4015900513.
func (c *Client) UploadImage(ctx context.Context, request UploadImageRequest) (*UploadImageResponse, error) {
	resetInfo(ctx)
	r, err := c.buildUpload(ctx, request)
	if err != nil {
		return nil, err
	}
	return resultOfCall[UploadImageResponse](c.send(ctx, r, nil))
}

// buildUpload is build for a body of two parts, of which only the first is signed.
func (c *Client) buildUpload(ctx context.Context, in UploadImageRequest) (*request, error) {
	path, retry, err := c.prepare(ctx, uploadImage.operation)
	if err == nil {
		err = validateUpload(in)
	}
	if err != nil {
		return nil, refusedError(uploadImage.operation, nil, err)
	}
	key, err := c.keys.encryptionKey(ctx)
	if err != nil {
		return nil, notSentError(ctx, uploadImage.operation, nil, err)
	}
	digest := sha256.Sum256(in.Content)
	meta, _ := json.Marshal(map[string]string{ // texts, which cannot fail
		"filename": in.Filename, cmp.Or(in.DigestField, c.edition.digest): hex.EncodeToString(digest[:]),
	})
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, part := range []struct {
		disposition, contentType string
		data                     []byte
	}{
		{`form-data; name="meta"`, "application/json", meta},
		{`form-data; name="file"; filename="` + in.Filename + `"`, http.DetectContentType(in.Content), in.Content},
	} {
		w, _ := form.CreatePart(textproto.MIMEHeader{"Content-Disposition": {part.disposition}, "Content-Type": {part.contentType}})
		_, _ = w.Write(part.data) // into memory
	}
	_ = form.Close()
	return &request{
		operation: uploadImage.operation, template: cmp.Or(in.Path, path), uri: cmp.Or(in.Path, path), body: body.Bytes(), signed: meta,
		contentType: form.FormDataContentType(), keyID: key.id, in: reflect.ValueOf(in), timeout: c.attemptTimeout, retry: retry,
		throttle: c.throttle, verifier: (*keyRing).verifyAnswer,
	}, nil
}

func validateUpload(request UploadImageRequest) error {
	name, contentType := request.Filename, http.DetectContentType(request.Content)
	extension := strings.ToLower(path.Ext(name))
	switch {
	case len(request.Content) == 0:
		return errors.New("Content is required")
	case len(request.Content) > maxImage:
		return fmt.Errorf("Content has %d bytes, at most %d are allowed", len(request.Content), maxImage)
	case !slices.Contains([]string{"image/jpeg", "image/bmp", "image/png"}, contentType):
		return fmt.Errorf("Content is %s, not a JPG, BMP or PNG picture", contentType)
	case !slices.Contains([]string{".jpg", ".bmp", ".png"}, extension):
		return errors.New("Filename must end in .jpg, .bmp or .png")
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune("\"\\/", r) }):
		return errors.New("Filename must be printable ASCII without quotes, slashes and backslashes")
	case request.Path != "" && !uploadPath.MatchString(request.Path):
		return errors.New("Path must be a path such as " + uploadImage.path)
	case request.DigestField == "filename":
		return errors.New("DigestField must not be filename, which is the other member of meta")
	}
	return nil
}
