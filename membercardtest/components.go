package membercardtest

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
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wechatpay-cards/membercard"
)

// token is a credential for a component.
type token struct {
	document
	once, used bool
}

func (s *Server) createPreAuthToken(in input) (document, *problem) {
	if refused := s.checkTokenTemplate(in); refused != nil {
		return nil, refused
	}
	if s.findMember(in.id("card_id"), in.id("openid"), "EFFECTIVE") != nil {
		return nil, in.inferredRefusal("用户在一个卡模板下只能有一张有效的会员卡", "the user has a card of this template")
	}
	return s.createToken(time.Hour, false), nil
}

func (s *Server) createPayViewToken(in input) (document, *problem) {
	if refused := s.checkTokenTemplate(in); refused != nil {
		return nil, refused
	}
	return s.createToken(10*time.Minute, true), nil
}

// checkTokenTemplate refuses a token for a template that is not in effect.
func (s *Server) checkTokenTemplate(in input) *problem {
	template := s.findCard(in.id("card_id"))
	switch {
	case template == nil || template.text("brand_id") != in.id("brand_id"):
		return in.inferredRefusal("会员卡模板无效", "there is no such template of brand_id")
	case template.text("state") != "CARD_EFFECTIVE":
		return in.refusal("会员卡模板无效", "the template is invalid")
	case isOver(template):
		return in.refusal("会员卡模板已过期", "the template's validity is over")
	}
	return nil
}

func (s *Server) createToken(life time.Duration, once bool) document {
	t := &token{document: document{"token": randomHex(16), "expire_time": formatTime(time.Now().Add(life))}, once: once}
	s.tokens = append(s.tokens, t)
	return t.document
}

// UseToken does what a component does with a token: an error says that it is unknown, has expired or, for
// one that works once, was used before.
func (s *Server) UseToken(value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tokens {
		if t.text("token") != value {
			continue
		}
		if !time.Now().Before(t.time("expire_time")) {
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

// feedPlaces are the places of each template of a feed, the documented ones, 0 to 17: v is a value, t the id of a text.
var feedPlaces = strings.Split(",v,v,,vt,vt,vv,vv,v,vt,vt,vv,vv,v,vvt,vvt,tv,v", ",")

// isCell reports whether a cell is one of a documented template, with a value for each of its places. The id of a text has at most 7
// characters.
func isCell(cell string) bool {
	parts := strings.Split(cell, "_")
	id, err := strconv.Atoi(parts[0])
	if err != nil || strconv.Itoa(id) != parts[0] || id < 0 || id >= len(feedPlaces) || len(parts) != 1+len(feedPlaces[id]) {
		return false
	}
	for i, place := range feedPlaces[id] {
		if place == 't' && utf8.RuneCountInString(parts[1+i]) > 7 {
			return false
		}
	}
	return !slices.Contains(parts, "") && !strings.ContainsAny(cell, "[]")
}

func (s *Server) createUserFeed(in input) (document, *problem) {
	template, u := s.findCard(in.text("card_id")), s.findUserCard(in.text("card_id"), in.text("user_card_code"))
	switch {
	case !isCell(in.text("cell")):
		return nil, in.refusal("cell不合法", "the cell is of no documented template, or has not a value for each of its places")
	case template == nil || template.text("brand_id") != in.text("brand_id") || template.text("state") != "CARD_EFFECTIVE":
		return nil, in.refusal("会员卡模板无效", "there is no such template of brand_id in effect")
	case u == nil || u.text("openid") != in.text("openid") || u.state(time.Now()) != "EFFECTIVE":
		return nil, in.refusal("当前用户非会员", "code and openid name no card that is effective")
	}
	if slices.ContainsFunc(s.feeds, func(other document) bool { return other.text("out_request_no") == in.text("out_request_no") }) {
		return nil, in.refusal("该用户动态已存在", "a feed was made under this out_request_no")
	}
	s.effects[effect{in.operation, in.text("user_card_code")}]++
	s.feeds = append(s.feeds, in.document)
	return in.document, nil
}

// Feeds returns the feed entries of a user's card.
func (s *Server) Feeds(cardID, userCardCode string) []membercard.UserFeed {
	s.mu.Lock()
	defer s.mu.Unlock()
	var feeds []membercard.UserFeed
	for _, feed := range s.feeds {
		if feed.text("card_id") == cardID && feed.text("user_card_code") == userCardCode {
			feeds = append(feeds, valueOf[membercard.UserFeed](feed))
		}
	}
	return feeds
}

const maxImage = 2 << 20

// imageUpload is a multipart body taken apart. Only meta is signed.
type imageUpload struct {
	meta, file         []byte
	hasFile            bool
	fileName, fileType string
}

// boundaryOf returns the boundary of a multipart form; "" for another type.
func boundaryOf(contentType string) string {
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != "multipart/form-data" {
		return ""
	}
	return parameters["boundary"]
}

// readUpload takes an upload apart, its parts in any order. A body that is none leaves everything empty.
func readUpload(contentType string, body []byte) *imageUpload {
	upload := &imageUpload{}
	reader := multipart.NewReader(bytes.NewReader(body), boundaryOf(contentType))
	for {
		part, err := reader.NextPart()
		if err != nil {
			return upload
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return upload
		}
		switch {
		case part.FormName() == "meta" && part.FileName() == "": // with a filename it is taken for a file
			upload.meta = data
		case part.FormName() == "file":
			_, disposition, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition")) // part.FileName cuts at a slash
			upload.file, upload.hasFile, upload.fileName, upload.fileType = data, true, disposition["filename"], part.Header.Get("Content-Type")
		}
	}
}

func (s *Server) uploadImage(in input) (document, *problem) {
	upload := in.upload
	if !upload.hasFile || upload.meta == nil {
		return nil, paramViolation("body", "", nil, "must be multipart/form-data with the parts meta and file")
	}
	meta, err := decodeStrictly(upload.meta)
	members, ok := meta.(map[string]any)
	if err != nil || !ok {
		return nil, paramViolation("body", "/meta", nil, "is not a JSON object")
	}
	table := []parameter{{name: "filename", required: true, max: 128}, {name: s.digestField, required: true, max: 64}}
	if strangers := undefined(table, "/body/meta", members); len(strangers) > 0 {
		return nil, undefinedParameters(strangers...)
	}
	if _, refused := new(checker).checkMembers(table, "/meta", members); refused != nil {
		refused.violation = true
		return nil, refused
	}
	name := members["filename"].(string)
	digest := sha256.Sum256(upload.file)
	switch {
	case !slices.Contains([]string{".jpg", ".bmp", ".png"}, strings.ToLower(path.Ext(name))):
		return nil, paramError("body", "/meta/filename", name, "must end in jpg, bmp or png")
	case upload.fileName == "":
		return nil, paramViolation("body", "/file", nil, "must have a filename")
	case upload.fileName != name:
		refused := in.refusal("图片meta信息不一致", "the filename of meta is not that of the part file")
		refused.violation = true
		return nil, refused
	case len(upload.file) == 0:
		return nil, in.refusal("图片文件为空", "the file is empty")
	case members[s.digestField] != hex.EncodeToString(digest[:]):
		refused := in.refusal("图片meta信息不一致", s.digestField+" is not the SHA-256 of the file in lower-case hexadecimal")
		refused.violation = true
		return nil, refused
	case len(upload.file) > maxImage:
		return nil, paramError("body", "/file", len(upload.file), fmt.Sprintf("must have at most %d bytes", maxImage))
	case !slices.Contains([]string{"image/jpeg", "image/bmp", "image/png"}, http.DetectContentType(upload.file)):
		return nil, in.refusal("未知图片类型", "the file is not a JPG, BMP or PNG picture")
	}
	s.effects[effect{in.operation, name}]++
	url := "https://wxpaylogo.qpic.cn/wxpaylogo/" + hex.EncodeToString(digest[:]) + "/0"
	s.pictures[url] = upload.file
	return document{"media_url": url}, nil
}

// Picture returns an uploaded picture by its address.
func (s *Server) Picture(mediaURL string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	picture, ok := s.pictures[mediaURL]
	return bytes.Clone(picture), ok
}

// securityEcho answers what it was sent.
func (s *Server) securityEcho(in input) (document, *problem) {
	s.effects[effect{in.operation, in.text("echo_message")}]++
	if in.has("notify_url") {
		s.echoURLs[in.text("echo_message")] = in.text("notify_url")
	}
	return in.document, nil
}
