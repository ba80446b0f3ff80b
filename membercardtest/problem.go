package membercardtest

import (
	"encoding/json"
	"net/http"
	"strings"
)

// problem is a refusal.
type problem struct {
	status    int
	code      string
	message   string // Chinese, as the page has it
	detail    any
	reason    string // for the developer who reads the test's output, and the message for those who ask for English
	source    source // how sure it is that the service refuses this
	idSuffix  string // behind the hyphen of the Request-ID; empty: by the code
	verified  string // the message whose signature did not match
	signed    string // what was probably signed instead; empty where that cannot be told
	violation bool   // a correct client never sends this
	bare      bool   // neither body nor signature
	unsigned  bool   // as what is refused before the signature of the request was accepted
}

// unproven returns a problem of a request that nobody has proven to be the merchant's.
func (p *problem) unproven() *problem {
	p.unsigned = true
	return p
}

// isOfTheRate reports whether a request was not looked at for the rate, and may come again as it is.
func (p *problem) isOfTheRate() bool { return p != nil && p.status == http.StatusTooManyRequests }

// MarshalJSON writes the body of an error answer.
func (p *problem) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Detail  any    `json:"detail,omitempty"`
	}{p.code, p.message, p.detail})
}

// in returns the problem with the message in the language that a request asks for.
func (p *problem) in(language string) *problem {
	translated := *p
	switch language {
	case "en":
		translated.message = p.reason
	case "zh-TW", "zh-HK":
		translated.message = traditional.Replace(p.message)
	}
	return &translated
}

// language returns the one of the four languages that a request asks for.
func language(header http.Header) string {
	for item := range strings.SplitSeq(header.Get("Accept-Language"), ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(item), ";")
		for _, known := range []string{"en", "zh-CN", "zh-HK", "zh-TW"} {
			if strings.EqualFold(tag, known) {
				return known
			}
		}
	}
	return "zh-CN"
}

// traditional writes the messages in traditional characters.
var traditional = strings.NewReplacer(strings.Split(
	"会 會 员 員 户 戶 频 頻 无 無 处 處 误 誤 错 錯 签 簽 验 驗 败 敗 参 參 数 數 请 請 类 類 暂 暫 储 儲 单 單 号 號 复 複 开 開 权 權 关 關 绑 綁 "+
		"态 態 码 碼 转 轉 为 為 卖 賣 务 務 间 間 须 須 范 範 围 圍 绝 絕 对 對 许 許 写 寫 领 領 后 後 于 於 体 體 义 義 项 項 动 動 该 該 记 記 录 錄 "+
		"积 積 换 換 图 圖 规 規 则 則 证 證 书 書 头 頭 过 過 时 時 导 導 个 個 现 現 删 刪 际 際 键 鍵 内 內 长 長 标 標 点 點 仅 僅 价 價 设 設 选 選 "+
		"择 擇 发 發 没 沒 额 額 别 別 与 與 这 這 认 認 议 議 应 應 网 網 络 絡 统 統 试 試 检 檢 称 稱 测 測 实 實 两 兩 当 當 径 徑 属 屬 废 廢 异 異 "+
		"张 張 级 級 结 結 确 確 费 費 访 訪 问 問 邮 郵 状 狀 创 創 钟 鐘 钥 鑰 档 檔", " ")...)

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

// refusal makes the error of the operation's page whose message has this text. english says what triggers it.
func (in input) refusal(message, english string) *problem {
	row, from := documented(in.operation, message)
	return &problem{status: row.Status, code: row.Code, message: plain(row.Message), reason: english, source: from}
}

// inferredRefusal is refusal where the sheets only infer that this triggers the row.
func (in input) inferredRefusal(message, english string) *problem {
	p := in.refusal(message, english)
	p.source = inferred
	return p
}

// ownRefusal is one where no page says what the service does.
func (in input) ownRefusal(message, english string) *problem {
	return &problem{status: http.StatusBadRequest, code: "INVALID_REQUEST", message: message, reason: english, source: ownRule}
}

// signError says that the signature does not fit.
func signError(reason string, information *signInformation) *problem {
	p := unauthorized("错误的签名，验签失败", reason)
	p.detail = signDetail{Field: "signature", Issue: "sign not match", Location: "authorization", SignInformation: information}
	return p
}

// unauthorized says what else keeps a request from being authenticated.
func unauthorized(message, reason string) *problem {
	return &problem{status: http.StatusUnauthorized, code: "SIGN_ERROR", message: message, reason: reason, source: observed, violation: true}
}

func invalidHeader(name, flaw string) *problem {
	return &problem{
		status: http.StatusBadRequest, code: "INVALID_REQUEST", message: "HTTP 请求不符合微信支付 APIv3 接口规则: 请检查 HTTP 头 " + name,
		reason: name + " " + flaw, source: observed, violation: true,
	}
}

// wrongSerial says that encrypted values came with the id of no key of WeChat Pay's.
func wrongSerial(named string) *problem {
	if named == "" {
		return &problem{
			status: http.StatusBadRequest, code: "PARAM_ERROR", message: "HTTP header缺少微信支付平台证书序列号 (Wechatpay-Serial)",
			reason: "Wechatpay-Serial is missing, which names the key of encrypted values", source: "documented 4012365874", violation: true,
		}
	}
	return &problem{
		status: http.StatusBadRequest, code: "PARAM_ERROR", message: "平台证书序列号Wechatpay-Serial错误",
		reason: "Wechatpay-Serial is not the id of a valid key of WeChat Pay's", source: "documented 4013059161",
		violation: named != PublicKeyID, // which RotateKey took from a correct client
	}
}

// paramError says that a value breaks a rule of its row.
func paramError(location, field string, value any, issue string) *problem {
	what := "the " + location + " " + issue
	if field != "" {
		what = location + " parameter " + field + ": " + issue
	}
	return &problem{
		status: http.StatusBadRequest, code: "PARAM_ERROR", message: "参数错误",
		detail: fieldDetail{Field: field, Value: value, Issue: issue, Location: location}, reason: what, source: "documented",
	}
}

// paramViolation is a paramError that no correct client causes.
func paramViolation(location, field string, value any, issue string) *problem {
	p := paramError(location, field, value, issue)
	p.violation = true
	return p
}

// outOfRange is a paramError about a number.
func outOfRange(location, field string, value any, issue string) *problem {
	p := paramError(location, field, value, issue)
	p.idSuffix = "268435464"
	return p
}

func undefinedParameters(pointers ...string) *problem {
	return &problem{
		status: http.StatusBadRequest, code: "PARAM_ERROR", message: "请求中含有未在API文档中定义的参数",
		detail: undefinedDetail{Value: pointers},
		reason: "the page does not define the parameter " + strings.Join(pointers, ", "), source: observed, idSuffix: "270924358", violation: true,
	}
}

func tooLarge() *problem {
	return &problem{
		status: http.StatusRequestEntityTooLarge, code: "PARAM_ERROR", message: "请求内容过大",
		reason: "the body has more than 4 MiB", source: ownRule,
	}
}

func rateLimited() *problem {
	return &problem{
		status: http.StatusTooManyRequests, code: "RATELIMIT_EXCEEDED", message: "频率限制",
		reason: "more requests in a second than LimitRate allows", source: observed,
	}
}
