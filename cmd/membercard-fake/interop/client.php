<?php
// A client in PHP with its openssl extension and nothing else. The environment variable MEMBERCARD_FAKE_CONFIG names the
// config.json that the fake program wrote.
declare(strict_types=1);

const BASE = '/v3/brand/partner/card-member';

$file = getenv('MEMBERCARD_FAKE_CONFIG');
$config = json_decode(file_get_contents($file), true, 512, JSON_THROW_ON_ERROR);
$privateKey = openssl_pkey_get_private(file_get_contents(dirname($file) . '/' . $config['private_key']));
$publicKey = openssl_pkey_get_public(file_get_contents(dirname($file) . '/' . $config['public_key']));

function seal(string $text): string
{
    global $publicKey;
    openssl_public_encrypt($text, $sealed, $publicKey, OPENSSL_PKCS1_OAEP_PADDING) or throw new RuntimeException('not encrypted');
    return base64_encode($sealed);
}

function unseal(string $text): string
{
    global $privateKey;
    openssl_private_decrypt(base64_decode($text, true), $plain, $privateKey, OPENSSL_PKCS1_OAEP_PADDING) or throw new RuntimeException('not decrypted');
    return $plain;
}

/** Makes a call and returns the status and the verified JSON of the answer. */
function call(string $method, string $uri, ?array $body = null): array
{
    global $config, $privateKey, $publicKey;
    $data = $body === null ? '' : json_encode($body, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE);
    $timestamp = (string) time();
    $nonce = bin2hex(random_bytes(16));
    openssl_sign("$method\n$uri\n$timestamp\n$nonce\n$data\n", $signature, $privateKey, OPENSSL_ALGO_SHA256);
    $headers = [
        'Accept: application/json',
        'User-Agent: php',
        'Connection: close',
        "Wechatpay-Serial: {$config['public_key_id']}",
        sprintf(
            'Authorization: WECHATPAY2-SHA256-RSA2048 mchid="%s",serial_no="%s",timestamp="%s",nonce_str="%s",signature="%s"',
            $config['mch_id'], $config['certificate_serial'], $timestamp, $nonce, base64_encode($signature)
        ),
    ];
    if ($data !== '') {
        $headers[] = 'Content-Type: application/json';
    }
    $answer = file_get_contents($config['base_url'] . $uri, false, stream_context_create(['http' => [
        'method' => $method, 'header' => $headers, 'content' => $data, 'ignore_errors' => true, 'follow_location' => 0, 'timeout' => 10,
    ]]));
    $proof = [];
    foreach ($http_response_header as $line) {
        [$name, $value] = explode(': ', $line, 2) + [1 => ''];
        $proof[strtolower($name)] = $value;
    }
    $message = "{$proof['wechatpay-timestamp']}\n{$proof['wechatpay-nonce']}\n$answer\n";
    if ($proof['wechatpay-serial'] !== $config['public_key_id'] || abs(time() - (int) $proof['wechatpay-timestamp']) >= 300
        || openssl_verify($message, base64_decode($proof['wechatpay-signature'], true), $publicKey, OPENSSL_ALGO_SHA256) !== 1) {
        throw new RuntimeException('the answer is not signed by WeChat Pay');
    }
    return [(int) explode(' ', $http_response_header[0])[1], json_decode($answer, true, 512, JSON_THROW_ON_ERROR)];
}

function expect(string $name, array $got, array $want): void
{
    if ($got !== $want) {
        throw new RuntimeException($name . ': ' . json_encode($got, JSON_UNESCAPED_UNICODE) . ', not ' . json_encode($want, JSON_UNESCAPED_UNICODE));
    }
    echo "ok $name\n";
}

$ids = ['brand_id' => $config['brand_id'], 'card_id' => $config['card_id'], 'openid' => $config['openid']];
$card = BASE . '/user-cards/' . rawurlencode($config['user_card_code']);

[$status, $read] = call('GET', $card . '?' . http_build_query($ids, '', '&', PHP_QUERY_RFC3986));
expect('read', [$status, $read['user_card_state'], unseal($read['phone_number'])], [200, 'EFFECTIVE', '13800000000']);
[$status, $changed] = call('PATCH', $card, $ids + ['level' => '钻石会员', 'phone_number' => seal('13900000000')]);
expect('change', [$status, $changed['level'], unseal($changed['phone_number'])], [200, '钻石会员', '13900000000']);
[$status, $problem] = call('PATCH', $card, $ids + ['phone_number' => '13700000000']);
expect('a phone number in clear', [$status, $problem['code'], $problem['detail']['field']], [400, 'PARAM_ERROR', '/phone_number']);
[$status, $echo] = call('POST', '/v3/security/echo', ['echo_message' => 'hello', 'encrypted_echo_message' => seal('secret')]);
expect('security echo', [$status, $echo['echo_message'], unseal($echo['encrypted_echo_message'])], [200, 'hello', 'secret']);
[$status, $gone] = call('POST', "$card/invalidate", $ids + ['invalid_reason' => '用户申请注销']);
expect('invalidate', [$status, $gone['user_card_state']], [200, 'INVALID']);
