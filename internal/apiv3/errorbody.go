package apiv3

import (
	"encoding/json"
	"fmt"
	"strings"
)

// ErrorBody is the body of an error answer. Every part is optional and read by itself, so that one
// of an unexpected type does not hide the others.
type ErrorBody struct {
	Code    string
	Message string
	Detail  ErrorDetail
}

// ErrorDetail is the detail of an error body. Raw is nil when there is none.
type ErrorDetail struct {
	Field    string
	Location string
	Issue    string
	Value    json.RawMessage
	Raw      json.RawMessage
}

// ParseErrorBody reads an error body. What is not there, not JSON or not of the expected type is
// left empty.
func ParseErrorBody(body []byte) ErrorBody {
	top := decodeAs[map[string]json.RawMessage](body)
	parsed := ErrorBody{Code: decodeAs[string](top["code"]), Message: decodeAs[string](top["message"])}
	raw := top["detail"]
	if len(raw) == 0 || string(raw) == "null" {
		return parsed
	}
	detail := decodeAs[map[string]json.RawMessage](raw)
	parsed.Detail = ErrorDetail{
		Field:    decodeAs[string](detail["field"]),
		Location: decodeAs[string](detail["location"]),
		Issue:    decodeAs[string](detail["issue"]),
		Value:    detail["value"],
		Raw:      raw,
	}
	if parsed.Detail.Issue == "" { // newer answers nest it
		parsed.Detail.Issue = decodeAs[string](decodeAs[map[string]json.RawMessage](detail["detail"])["issue"])
	}
	return parsed
}

// Diagnose compares what the service says it verified, in the detail of a SIGN_ERROR, with the message
// that was signed. It names what differs without quoting it, since the URI and the body hold personal
// identifiers. told is false when the service says nothing.
func Diagnose(detail, signed []byte) (different []string, told bool) {
	members := decodeAs[map[string]json.RawMessage](detail)
	raw, found := members["sign_information"]
	if !found { // newer answers nest some members of the detail
		raw = decodeAs[map[string]json.RawMessage](members["detail"])["sign_information"]
	}
	information := decodeAs[struct {
		Message string `json:"truncated_sign_message"`
		Length  int    `json:"sign_message_length"`
	}](raw)
	if information.Message == "" {
		return nil, false
	}
	ours := strings.SplitN(string(signed), "\n", 5)
	theirs := strings.SplitN(strings.ReplaceAll(information.Message, `\n`, "\n"), "\n", len(ours))
	for i, name := range []string{"method", "URI", "timestamp", "nonce"} {
		if i < len(theirs) && theirs[i] != ours[i] {
			different = append(different, name)
		}
	}
	// The body is cut off after some bytes, perhaps within a character.
	if len(theirs) == len(ours) && !strings.HasPrefix(ours[4], strings.TrimRight(theirs[4], "\n.\uFFFD")) {
		different = append(different, "body")
	}
	if n := information.Length; n != 0 && n != len(signed) {
		different = append(different, fmt.Sprintf("length (%d bytes instead of %d)", n, len(signed)))
	}
	return different, true
}

// decodeAs returns the zero value for what is not there or of another type.
func decodeAs[T any](data []byte) (value T) {
	_ = json.Unmarshal(data, &value)
	return value
}
