package membercardtest

import (
	"encoding/json"
	"net/http"
)

// problem is a refusal. One constructor makes each documented error.
type problem struct {
	status    int
	code      string
	message   string
	detail    any
	reason    string // for the developer who reads the test's output
	violation bool   // a correct client never sends this
}

// MarshalJSON writes the body of an error answer.
func (p *problem) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Detail  any    `json:"detail,omitempty"`
	}{p.code, p.message, p.detail})
}

// fieldDetail is the detail of a PARAM_ERROR. Field is a JSON pointer into the body, or the name of a
// path or query parameter.
type fieldDetail struct {
	Field    string `json:"field"`
	Value    any    `json:"value,omitempty"`
	Issue    string `json:"issue"`
	Location string `json:"location"`
}

// undefinedDetail is the detail of a PARAM_ERROR about parameters that the page does not define.
type undefinedDetail struct {
	Location *string  `json:"location"`
	Value    []string `json:"value"`
}

// signDetail is the detail of a SIGN_ERROR.
type signDetail struct {
	Field           string           `json:"field"`
	Issue           string           `json:"issue"`
	Location        string           `json:"location"`
	SignInformation *signInformation `json:"sign_information,omitempty"`
}

func signError(reason string, information *signInformation) *problem {
	return &problem{
		status: http.StatusUnauthorized, code: "SIGN_ERROR", message: "错误的签名，验签失败",
		detail: signDetail{Field: "signature", Issue: "sign not match", Location: "authorization", SignInformation: information},
		reason: reason, violation: true,
	}
}

func invalidHeader(reason string) *problem {
	return &problem{
		status: http.StatusBadRequest, code: "INVALID_REQUEST", message: "HTTP 请求不符合微信支付 APIv3 接口规则: " + reason,
		reason: reason, violation: true,
	}
}

func paramError(location, field string, value any, issue string) *problem {
	return &problem{
		status: http.StatusBadRequest, code: "PARAM_ERROR", message: "参数错误",
		detail: fieldDetail{Field: field, Value: value, Issue: issue, Location: location},
		reason: location + " parameter " + field + ": " + issue,
	}
}

// paramViolation is a paramError that no correct client causes. The value is not quoted, it may be a
// sensitive one in clear.
func paramViolation(location, field, issue string) *problem {
	p := paramError(location, field, nil, issue)
	p.violation = true
	return p
}

func undefinedParameter(pointer string) *problem {
	return &problem{
		status: http.StatusBadRequest, code: "PARAM_ERROR", message: "请求中含有未在API文档中定义的参数",
		detail: undefinedDetail{Value: []string{pointer}},
		reason: "the page does not define the parameter " + pointer, violation: true,
	}
}

func notOfBrand() *problem {
	const message = "会员卡模版ID不属于该品牌"
	return &problem{
		status: http.StatusBadRequest, code: "INVALID_REQUEST", message: message,
		reason: message + " (the template card_id does not belong to brand_id)",
	}
}

func invalidRequest(message, reason string) *problem {
	return &problem{status: http.StatusBadRequest, code: "INVALID_REQUEST", message: message, reason: reason}
}

func alreadyExists() *problem {
	return &problem{
		status: http.StatusBadRequest, code: "ALREADY_EXISTS", message: "商家请求单号已存在",
		reason: "the request number was used before with other content",
	}
}

func notFound(message string, violation bool) *problem {
	return &problem{status: http.StatusNotFound, code: "NOT_FOUND", message: message, reason: message, violation: violation}
}

func noSuchUserCard() *problem { return notFound("用户会员卡信息不存在", false) }

func rateLimited() *problem {
	return &problem{
		status: http.StatusTooManyRequests, code: "RATELIMIT_EXCEEDED", message: "频率限制",
		reason: "more requests in a second than LimitRate allows",
	}
}
