package membercardtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// componentRoutes are the tokens, the feed and the image upload.
func componentRoutes() []*route {
	who := []parameter{brandID, cardID, openID}
	feedNo := outRequestNo
	feedNo.max = 64 // elsewhere it is 128
	return []*route{
		{
			operation: membercard.OperationCreatePreAuthToken, method: http.MethodPost, path: pathOf("pre-auth-tokens"),
			body: who, handle: func(s *Server, in input) (any, *problem) { return s.createToken(in, time.Hour, false) },
		},
		{
			operation: membercard.OperationCreatePayViewToken, method: http.MethodPost, path: pathOf("pay-view-tokens"),
			body: who, handle: func(s *Server, in input) (any, *problem) { return s.createToken(in, 10*time.Minute, true) },
		},
		{
			operation: membercard.OperationCreateUserFeed, method: http.MethodPost, path: pathOf("user-feeds"),
			body: []parameter{
				brandID, cardID, userCardCode, openID, feedNo,
				{name: "cell", required: true, max: 128, pattern: regexp.MustCompile(`^([0-9]|1[0-7])(_.*)?$`)},
			},
			handle: (*Server).createUserFeed,
		},
		{
			operation: membercard.OperationUploadImage, method: http.MethodPost, // its path is the server's
			upload: true, handle: (*Server).uploadImage,
		},
	}
}

// token is a credential for a component.
type token struct {
	Token      string `json:"token"`
	ExpireTime string `json:"expire_time"`

	once, used bool
}

func (s *Server) createToken(in input, life time.Duration, once bool) (any, *problem) {
	if _, refused := s.requireCard(in.id("card_id"), in.id("brand_id")); refused != nil {
		return nil, refused
	}
	t := &token{Token: randomHex(16), ExpireTime: formatTime(time.Now().Add(life)), once: once}
	s.tokens = append(s.tokens, t)
	return *t, nil
}

// UseToken does what a component does with a token: an error says that it is unknown, has expired or, for
// one that works once, was used before.
func (s *Server) UseToken(value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tokens {
		if t.Token != value {
			continue
		}
		if !time.Now().Before(parseTime(t.ExpireTime)) {
			return errors.New("membercardtest: the token has expired")
		}
		if t.once && t.used {
			return errors.New("membercardtest: the token was used before")
		}
		t.used = true
		return nil
	}
	return errors.New("membercardtest: there is no such token")
}

func (s *Server) createUserFeed(in input) (any, *problem) {
	feed := decode[struct {
		BrandID      string `json:"brand_id"`
		CardID       string `json:"card_id"`
		UserCardCode string `json:"user_card_code"`
		OpenID       string `json:"openid"`
		OutRequestNo string `json:"out_request_no"`
		Cell         string `json:"cell"`
	}](in)
	return s.under(membercard.OperationCreateUserFeed, feed.OutRequestNo, in, func() (any, *problem) {
		if _, refused := s.requireMember(feed.BrandID, feed.CardID, feed.UserCardCode, feed.OpenID); refused != nil {
			return nil, refused
		}
		s.effects[effect{membercard.OperationCreateUserFeed, feed.UserCardCode}]++
		s.feeds = append(s.feeds, membercard.UserFeed(feed))
		return map[string]string{
			"brand_id": feed.BrandID, "card_id": feed.CardID, "user_card_code": feed.UserCardCode,
			"out_request_no": feed.OutRequestNo, "cell": feed.Cell,
		}, nil
	})
}

// Feeds returns the feed entries of a user's card.
func (s *Server) Feeds(cardID, userCardCode string) []membercard.UserFeed {
	s.mu.Lock()
	defer s.mu.Unlock()
	var feeds []membercard.UserFeed
	for _, feed := range s.feeds {
		if feed.CardID == cardID && feed.UserCardCode == userCardCode {
			feeds = append(feeds, feed)
		}
	}
	return feeds
}

const maxImage = 2 << 20

// imageUpload is a multipart body taken apart. Only meta is signed.
type imageUpload struct {
	meta, file   []byte
	fileName     string
	fileType     string
	partsInOrder bool
}

// readUpload takes an upload apart. A body that is none leaves everything empty.
func readUpload(contentType string, body []byte) *imageUpload {
	upload := &imageUpload{}
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != "multipart/form-data" || parameters["boundary"] == "" {
		return upload
	}
	reader := multipart.NewReader(bytes.NewReader(body), parameters["boundary"])
	var names []string
	for {
		part, err := reader.NextPart()
		if err != nil {
			upload.partsInOrder = errors.Is(err, io.EOF) && slices.Equal(names, []string{"meta", "file"})
			return upload
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return upload
		}
		names = append(names, part.FormName())
		switch part.FormName() {
		case "meta":
			if isJSON(part.Header.Get("Content-Type")) {
				upload.meta = data
			}
		case "file":
			upload.file, upload.fileName, upload.fileType = data, part.FileName(), part.Header.Get("Content-Type")
		}
	}
}

func (s *Server) uploadImage(in input) (any, *problem) {
	upload := in.upload
	if !upload.partsInOrder || upload.meta == nil {
		return nil, paramViolation("body", "", "must be multipart/form-data with the parts meta, of type application/json, and file")
	}
	meta, err := decodeStrictly(upload.meta)
	members, ok := meta.(map[string]any)
	if err != nil || !ok {
		return nil, paramViolation("body", "/meta", "is not a JSON object")
	}
	table := []parameter{{name: "filename", required: true}, {name: s.digestField, required: true, max: 64}}
	if _, refused := new(checker).checkMembers(table, "/meta", members); refused != nil {
		refused.violation = true
		return nil, refused
	}
	name := members["filename"].(string)
	digest := sha256.Sum256(upload.file)
	switch {
	case !slices.Contains([]string{".jpg", ".bmp", ".png"}, strings.ToLower(path.Ext(name))):
		return nil, paramError("body", "/meta/filename", name, "must end in jpg, bmp or png")
	case upload.fileName == "" || !strings.HasPrefix(upload.fileType, "image/"):
		return nil, paramViolation("body", "/file", "must have a filename and an image's Content-Type")
	case members[s.digestField] != hex.EncodeToString(digest[:]):
		return nil, paramViolation("body", "/meta/"+s.digestField, "is not the SHA-256 of the file in lower-case hexadecimal")
	case len(upload.file) == 0 || len(upload.file) > maxImage:
		return nil, paramError("body", "/file", len(upload.file), fmt.Sprintf("must have from 1 to %d bytes", maxImage))
	case !slices.Contains([]string{"image/jpeg", "image/bmp", "image/png"}, http.DetectContentType(upload.file)):
		return nil, paramError("body", "/file", nil, "is not a JPG, BMP or PNG picture")
	}
	s.effects[effect{membercard.OperationUploadImage, name}]++
	url := "https://wxpaylogo.qpic.cn/wxpaylogo/" + hex.EncodeToString(digest[:]) + "/0"
	s.pictures[url] = upload.file
	return json.RawMessage(fmt.Sprintf(`{"media_url":%q}`, url)), nil
}

// Picture returns an uploaded picture by its address.
func (s *Server) Picture(mediaURL string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	picture, ok := s.pictures[mediaURL]
	return bytes.Clone(picture), ok
}
