package apiv3

import (
	"bytes"
	"encoding/json"
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
	top := object(body)
	parsed := ErrorBody{Code: text(top["code"]), Message: text(top["message"])}
	raw := top["detail"]
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return parsed
	}
	detail := object(raw)
	inner := object(detail["detail"]) // newer answers nest the issue once more
	parsed.Detail = ErrorDetail{
		Field:    first(text(detail["field"]), text(inner["field"])),
		Location: first(text(detail["location"]), text(inner["location"])),
		Issue:    first(text(detail["issue"]), text(inner["issue"])),
		Value:    detail["value"],
		Raw:      raw,
	}
	return parsed
}

func object(data []byte) map[string]json.RawMessage {
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) != nil {
		return nil
	}
	return members
}

func text(data []byte) string {
	var s string
	if json.Unmarshal(data, &s) != nil {
		return ""
	}
	return s
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
