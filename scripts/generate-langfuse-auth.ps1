<#
.SYNOPSIS
Two keys of Langfuse in, what Codex needs out: the header for its environment, and the TOML.
.DESCRIPTION
Needs Windows PowerShell 5.1, or PowerShell 7 on any system. Asks for what is not given.
Run it with -Help for the options. The secret key is never on a command line.
.EXAMPLE
./generate-langfuse-auth.ps1 -Region eu -Check
#>
# This file is plain ASCII, because Windows PowerShell 5.1 reads a file without a byte order mark as such.
param(
    [string]$Region = '',
    [string]$BaseUrl = '',
    [string]$PublicKey = '',
    [switch]$SecretStdin,
    [switch]$AnyKeyForm,
    [switch]$Check,
    [string]$Write = '',
    [switch]$Force,
    [switch]$Quiet,
    [switch]$Headers,
    [switch]$Help
)

Set-StrictMode -Off # Or it is as the session that starts this has it.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$site = 'https://YOUR_ORG.github.io/codex-langfuse'
$pageKeys = $site + '/quickstart/#keys'
$pageRefused = $site + '/guide/troubleshooting/#refused-keys'
$pageUnreachable = $site + '/guide/troubleshooting/#unreachable'
$pagePath = $site + '/guide/troubleshooting/#endpoint-path'
$variable = 'OTEL_EXPORTER_OTLP_TRACES_HEADERS'
$marker = '# Written by codex-langfuse. It holds a secret key: keep it readable by you only.'
$whiteSpace = [char[]](32, 9, 10, 11, 12, 13)
$onWindows = ($PSVersionTable.PSVersion.Major -lt 6) -or $IsWindows

$usage = @'
Usage: generate-langfuse-auth.ps1 [options]

Make the header that Codex sends to Langfuse, and the TOML that goes with it. Asks for what is not given.

Options:
  -Region NAME       Langfuse Cloud: eu, us, jp or hipaa.
  -BaseUrl URL       Your own Langfuse, such as http://localhost:3000.
  -PublicKey KEY     The public key (pk-lf-...).
  -SecretStdin       Read the secret key (sk-lf-...) from the pipeline or standard input. There is no option
                     for the key itself: other users could see it in the list of processes.
  -AnyKeyForm        Take keys that do not begin with pk-lf- and sk-lf-.
  -Check             Ask Langfuse whether it accepts the keys, before anything is printed or written.
  -Write FILE        Put keys and address into FILE, readable by you only, instead of printing the key.
                     A name that ends in .ps1 makes a script that sets the variable for Codex.
  -Force             With -Write: replace FILE whatever is in it.
  -Quiet             Print only the header's value: Basic <base64>. With -Write: print nothing.
  -Headers           Print the header of ~/.config/codex-langfuse/env as JSON, as Codex's headers_helper
                     wants it. It takes no other option.
  -Help              Show this.

Environment: LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY, LANGFUSE_BASE_URL (or LANGFUSE_HOST). Options win.
-Check uses HTTPS_PROXY and NO_PROXY, and on Windows the certificates that Windows trusts, elsewhere
SSL_CERT_FILE; a request to this machine takes no proxy. NO_COLOR turns colour off.

Exit status: 0 done, 1 refused or failed, 2 a wrong option or value.

Examples:
  ./generate-langfuse-auth.ps1
  ./generate-langfuse-auth.ps1 -Region eu -Check -Write $HOME/.config/codex-langfuse/env
  Get-Secret langfuse -AsPlainText | ./generate-langfuse-auth.ps1 -Region us -PublicKey pk-lf-... -SecretStdin -Quiet
  ./generate-langfuse-auth.ps1 -Headers
'@

$tomlBeforeEndpoint = @'
# The key is not in this file: it comes from OTEL_EXPORTER_OTLP_TRACES_HEADERS.
[otel]
environment = "prod"
metrics_exporter = "none"            # without this line Codex sends metrics to OpenAI

[otel.trace_exporter.otlp-http]      # no line `trace_exporter = "otlp-http"` beside it
'@

$tomlAfterEndpoint = @'
protocol = "binary"
headers = { x-langfuse-ingestion-version = "4" }

[otel.span_attributes]               # on every span; Codex 0.130 and newer
"langfuse.environment" = "prod"

[shell_environment_policy]
exclude = ["OTEL_*", "LANGFUSE_*"]   # keeps the key out of the commands that Codex runs
'@

# --- What is said beside the result, on standard error ---

function Write-Label([string]$label, [string]$colour) {
    $coloured = -not ($env:NO_COLOR -or [Console]::IsErrorRedirected -or [Console]::IsOutputRedirected)
    if ($coloured) { [Console]::ForegroundColor = $colour }
    [Console]::Error.Write($label)
    if ($coloured) { [Console]::ResetColor() }
}

function Write-Note([string]$text) {
    Write-Label 'note:' 'Yellow'
    [Console]::Error.WriteLine(' ' + $text)
}

# The first line says what is wrong; the others what to do, and the page.
function Write-Problem([string[]]$lines) {
    Write-Label 'error:' 'Red'
    [Console]::Error.WriteLine(' ' + $lines[0])
    for ($i = 1; $i -lt $lines.Length; $i++) {
        if ($lines[$i]) { [Console]::Error.WriteLine('  ' + $lines[$i]) }
    }
}

function Stop-Refused([string[]]$lines) {
    Write-Problem $lines
    exit 1
}

function Stop-WrongUsage([string]$text, [string]$more = 'See -Help.') {
    Write-Problem @($text, $more)
    exit 2
}

# --- Forms of keys and addresses ---

# Leaves out what copying adds at both ends: white space, and one pair of quotes.
function Get-Trimmed([string]$text) {
    $trimmed = $text.Trim($whiteSpace)
    if ($trimmed.Length -ge 2) {
        $first = $trimmed.Substring(0, 1)
        $last = $trimmed.Substring($trimmed.Length - 1)
        if (($first -ceq $last) -and (($first -ceq '"') -or ($first -ceq "'"))) {
            $trimmed = $trimmed.Substring(1, $trimmed.Length - 2).Trim($whiteSpace)
        }
    }
    return $trimmed
}

function Get-TrimmedWithNote([string]$what, [string]$text) {
    $trimmed = Get-Trimmed $text
    if ($trimmed -cne $text) { Write-Note ('left out spaces, line breaks or quotes around the ' + $what) }
    return $trimmed
}

function Test-Local([string]$name) {
    return ($name -ceq 'localhost') -or ($name -ceq '[::1]') -or ($name -cmatch '\.localhost\z') -or
        ($name -cmatch '^127\.')
}

# Says what an address without its scheme was to be. A number or a name without a dot is of the reader's own
# network, where no certificate is to be expected.
function Get-AddressGuess([string]$text) {
    if ($text -cnotmatch '^[A-Za-z0-9._-]+(:[0-9]{1,5})?\z') { return '' }
    $name = $text.Split(':')[0]
    $own = ($name -ceq 'localhost') -or ($name -cmatch '\.localhost\z')
    if (-not ($own -or $text.Contains('.') -or $text.Contains(':'))) { return '' }
    $scheme = 'http'
    if (-not $own -and $name.Contains('.') -and ($name -cmatch '[A-Za-z]')) { $scheme = 'https' }
    return '. Did you mean ' + $scheme + '://' + $text + '?'
}

# Reads a region's name or an address into $script:address, or prints what is wrong. Says whether it could.
function Read-Address([string]$text) {
    $trimmed = Get-TrimmedWithNote 'address' $text
    $lower = $trimmed.ToLowerInvariant()
    $problem = ''
    $script:address = ''
    $script:onThisMachine = $false
    if ($trimmed -ceq '') { $problem = 'the address is empty' }
    elseif ($lower -ceq 'eu') { $script:address = 'https://cloud.langfuse.com' }
    elseif ($lower -ceq 'us') { $script:address = 'https://us.cloud.langfuse.com' }
    elseif (($lower -ceq 'jp') -or ($lower -ceq 'japan')) { $script:address = 'https://jp.cloud.langfuse.com' }
    elseif ($lower -ceq 'hipaa') { $script:address = 'https://hipaa.cloud.langfuse.com' }
    elseif ($lower -cmatch '^[sp]k-') { $problem = 'that is a key, not an address' }
    elseif ($trimmed -cnotmatch '^[\]\[A-Za-z0-9._~:/?#@%=&+-]*\z') {
        $problem = 'the address contains a character that does not belong there'
    }
    elseif (($trimmed -notmatch '^https?://') -and $trimmed.Contains('@')) {
        $problem = 'the address contains a user name or a password; the keys go elsewhere'
    }
    elseif ($trimmed -notmatch '^https?://') {
        $problem = '"' + $trimmed + '" is neither a region (eu, us, jp, hipaa) nor an address with http:// or https://'
        $problem += Get-AddressGuess $trimmed
    }
    else { $problem = Read-Url $trimmed }
    if ($problem) {
        Write-Problem @($problem, ('See ' + $pageKeys))
        return $false
    }
    return $true
}

# Reads an address with http:// or https:// into $script:address. Returns what is wrong with it, or ''.
function Read-Url([string]$url) {
    $null = $url -match '^(https?)://(.*)\z'
    $scheme = $Matches[1].ToLowerInvariant()
    $rest = $Matches[2]
    $before = ($rest -split '[?#]', 2)[0]
    $null = $before -cmatch '^([^/]*)(.*)\z'
    $authority = $Matches[1].ToLowerInvariant()
    $path = $Matches[2].TrimEnd('/')
    if ($authority.Contains('@')) {
        return 'the address contains a user name or a password; the keys go elsewhere'
    }
    if ($authority -cnotmatch '^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:([0-9]{1,5}))?\z') {
        return 'the address has no valid host or port'
    }
    $name = $Matches[1]
    $script:onThisMachine = Test-Local $name
    if ($Matches[3] -and ([int]$Matches[3] -gt 65535)) { return 'the address has no valid host or port' }
    if (($authority -ceq 'langfuse.com') -or ($authority -ceq 'www.langfuse.com')) {
        return 'langfuse.com is the website; give the address where you log in'
    }
    $root = $path
    if ($authority -cmatch '^(.*\.)?cloud\.langfuse\.com\z') {
        $root = ''
        if ($scheme -ceq 'http') { return 'Langfuse Cloud is reached with https:// only: https://' + $authority }
    }
    else {
        # Langfuse's own paths: pasted from a browser, or from an OTLP endpoint.
        foreach ($own in 'api', 'otel', 'v1', 'project', 'organization', 'auth', 'setup', 'account') {
            $at = ($root + '/').IndexOf(('/' + $own + '/'), [StringComparison]::Ordinal)
            if ($at -ge 0) { $root = ($root + '/').Substring(0, $at) }
        }
        $root = $root.TrimEnd('/')
    }
    $corrected = $scheme + '://' + $authority + $root
    if (($before -cne $rest) -or ($root -cne $path)) { return 'give only the address of Langfuse: ' + $corrected }
    if ($path) {
        Write-Note ($path + ' is kept; that is right only for a Langfuse built with NEXT_PUBLIC_BASE_PATH=' + $path)
    }
    if (($scheme -ceq 'http') -and -not $script:onThisMachine) {
        Write-Note ($corrected + ' is not encrypted; whoever is on the way can read your keys')
    }
    $script:address = $corrected
    return ''
}

function Get-Place {
    if ($script:address -ceq 'https://cloud.langfuse.com') { return 'Langfuse Cloud, EU' }
    if ($script:address -ceq 'https://us.cloud.langfuse.com') { return 'Langfuse Cloud, US' }
    if ($script:address -ceq 'https://jp.cloud.langfuse.com') { return 'Langfuse Cloud, Japan' }
    if ($script:address -ceq 'https://hipaa.cloud.langfuse.com') { return 'Langfuse Cloud, HIPAA' }
    return 'your own Langfuse'
}

# Returns what is wrong with a trimmed key, or ''.
function Get-Complaint([string]$kind, [string]$key) {
    $prefix = 'pk-lf-'
    $other = 'secret key'
    $otherPrefix = 'sk-lf-'
    if ($kind -ceq 'secret key') {
        $prefix = 'sk-lf-'
        $other = 'public key'
        $otherPrefix = 'pk-lf-'
    }
    if ($key -ceq '') { return 'the ' + $kind + ' is empty' }
    if ($key -cnotmatch '^[ -~]+\z') {
        return 'the ' + $kind + ' contains a character that no key has: a line break, or one beyond ASCII'
    }
    if ($key.Contains(':')) { return 'the ' + $kind + ' contains a colon; paste one key at a time' }
    if ($AnyKeyForm) { return '' }
    if ($key -cmatch ('^' + $otherPrefix)) {
        return 'that is a ' + $other + ' (' + $otherPrefix + '), not the ' + $kind + ' (' + $prefix + ')'
    }
    if ($key -cmatch ('^' + $prefix)) {
        if (($key -ceq $prefix) -or ($key -cmatch '\.\.\.\z')) {
            return 'the ' + $kind + ' is incomplete; copy all of it'
        }
        if ($key.Contains(' ')) { return 'the ' + $kind + ' contains a space' }
        return ''
    }
    if ($key -cmatch '^sk-ant-') { return 'the ' + $kind + ' is one of Anthropic (sk-ant-), not of Langfuse' }
    if ($key -cmatch '^sk-') { return 'the ' + $kind + ' is one of OpenAI (sk-), not of Langfuse' }
    if ($key -cmatch '^(Basic |cGstbGYt)') {
        return 'the ' + $kind + ' is a header made of both keys already, not a key'
    }
    return 'the ' + $kind + ' does not begin with ' + $prefix +
        '. If your own Langfuse was set up with such a key, add -AnyKeyForm'
}

# --- Asking ---

function Read-Answer([string]$prompt) {
    [Console]::Error.Write($prompt)
    $answer = Read-Host
    if ($null -eq $answer) { Stop-Refused @('no answer') }
    return [string]$answer
}

function Read-HiddenAnswer([string]$prompt) {
    [Console]::Error.Write($prompt)
    $secure = Read-Host -AsSecureString
    if ($null -eq $secure) { Stop-Refused @('no answer') }
    $pointer = [Runtime.InteropServices.Marshal]::SecureStringToBSTR($secure)
    try { return [Runtime.InteropServices.Marshal]::PtrToStringBSTR($pointer) }
    finally { [Runtime.InteropServices.Marshal]::ZeroFreeBSTR($pointer) }
}

function Read-AskedAddress {
    [Console]::Error.WriteLine('Where is your Langfuse?')
    [Console]::Error.WriteLine('  1  EU        https://cloud.langfuse.com')
    [Console]::Error.WriteLine('  2  US        https://us.cloud.langfuse.com')
    [Console]::Error.WriteLine('  3  Japan     https://jp.cloud.langfuse.com')
    [Console]::Error.WriteLine('  4  HIPAA     https://hipaa.cloud.langfuse.com')
    [Console]::Error.WriteLine('  5  your own')
    for ($i = 0; $i -lt 3; $i++) {
        $answer = Get-Trimmed (Read-Answer 'Number, region or address: ')
        if ($answer -ceq '1') { $answer = 'eu' }
        elseif ($answer -ceq '2') { $answer = 'us' }
        elseif ($answer -ceq '3') { $answer = 'jp' }
        elseif ($answer -ceq '4') { $answer = 'hipaa' }
        elseif ($answer -ceq '5') { $answer = Read-Answer 'Address of your Langfuse: ' }
        if (Read-Address $answer) { return }
    }
    exit 1
}

function Read-AskedKey([string]$kind, [string]$prompt) {
    for ($i = 0; $i -lt 3; $i++) {
        # Neither is shown while it is typed: whoever copied both pastes both.
        $answer = Read-HiddenAnswer $prompt
        $key = Get-TrimmedWithNote $kind $answer
        $complaint = Get-Complaint $kind $key
        if (-not $complaint) { return $key }
        Write-Problem @($complaint, ('See ' + $pageKeys))
    }
    exit 1
}

# --- Asking Langfuse ---

# Windows PowerShell 5.1 does not read these variables by itself; PowerShell 7 does.
function Get-ProxyFor([Uri]$uri) {
    $proxy = $env:HTTP_PROXY
    if ($uri.Scheme -ceq 'https') { $proxy = $env:HTTPS_PROXY }
    foreach ($entry in ([string]$env:NO_PROXY).Split(',')) {
        $name = $entry.Trim().TrimStart('.')
        if ($name -ceq '*') { return '' }
        if ($name -and (($uri.Host -eq $name) -or $uri.Host.EndsWith('.' + $name))) { return '' }
    }
    return [string]$proxy
}

# Says why there was no answer: name, tls, time or other.
function Get-Cause([Exception]$exception) {
    $cause = $exception
    while ($null -ne $cause) {
        if ($cause -is [System.Security.Authentication.AuthenticationException]) { return 'tls' }
        if ($cause -is [System.Net.Sockets.SocketException]) {
            if (@('HostNotFound', 'NoData', 'TryAgain') -contains [string]$cause.SocketErrorCode) { return 'name' }
        }
        if ($cause -is [System.Net.WebException]) {
            $status = [string]$cause.Status
            if ($status -ceq 'NameResolutionFailure') { return 'name' }
            if (($status -ceq 'TrustFailure') -or ($status -ceq 'SecureChannelFailure')) { return 'tls' }
            if ($status -ceq 'Timeout') { return 'time' }
        }
        if (($cause -is [OperationCanceledException]) -or ($cause -is [TimeoutException])) { return 'time' }
        $cause = $cause.InnerException
    }
    return 'other'
}

# Returns a member of what ConvertFrom-Json made, or $null when there is none.
function Get-Field($object, [string]$name) {
    if ($object -isnot [System.Management.Automation.PSCustomObject]) { return $null }
    $property = $object.PSObject.Properties[$name]
    if ($null -eq $property) { return $null }
    return , $property.Value
}

# Reads an answer: what Langfuse says in words, in one line, and the id of the first project in it.
function Read-Json([string]$body) {
    $script:said = ''
    $script:project = ''
    try { $json = ConvertFrom-Json -InputObject $body }
    catch { return }
    foreach ($name in 'message', 'error') {
        $text = Get-Field $json $name
        if (($text -is [string]) -and $text -and -not $script:said) {
            $line = ($text -creplace '[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]', ' ') -creplace ' {2,}', ' '
            $script:said = 'Langfuse says: ' + $line.Trim()
        }
    }
    $data = Get-Field $json 'data'
    if (($data -is [array]) -and ($data.Count -gt 0)) {
        $id = Get-Field $data[0] 'id'
        if (($id -is [string]) -and ($id -cmatch '^[A-Za-z0-9_-]+\z')) { $script:project = $id }
    }
}

function Test-WithLangfuse([string]$encoded) {
    $request = @{
        Uri                = $script:address + '/api/public/projects'
        Headers            = @{ Authorization = 'Basic ' + $encoded }
        UseBasicParsing    = $true
        TimeoutSec         = 20
        MaximumRedirection = 0
    }
    if ($PSVersionTable.PSVersion.Major -lt 6) {
        # TLS 1.2, which Windows PowerShell 5.1 does not offer on every Windows.
        [Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor 3072
        $proxy = Get-ProxyFor ([Uri]$request.Uri)
        if ($script:onThisMachine) { [Net.WebRequest]::DefaultWebProxy = $null }
        elseif ($proxy) { $request.Proxy = $proxy }
    }
    elseif ($script:onThisMachine) { $request.NoProxy = $true }
    $status = ''
    $body = ''
    try {
        $response = Invoke-WebRequest @request
        $status = [string][int]$response.StatusCode
        $body = [string]$response.Content
    }
    catch {
        $problem = $_
        $response = $null
        $property = $problem.Exception.PSObject.Properties['Response']
        if ($null -ne $property) { $response = $property.Value }
        if ($null -ne $response) {
            $status = [string][int]$response.StatusCode
            if ($problem.ErrorDetails) { $body = [string]$problem.ErrorDetails.Message }
        }
        elseif ($problem.FullyQualifiedErrorId -like 'MaximumRedirectExceeded*') { $status = '3xx' }
        else {
            $cause = Get-Cause $problem.Exception
            $see = 'See ' + $pageUnreachable
            if ($cause -ceq 'name') {
                Stop-Refused @(('the name in ' + $script:address + ' cannot be resolved'),
                    'Check the spelling and the network of this machine.', $see)
            }
            if ($cause -ceq 'time') {
                Stop-Refused @(($script:address + ' does not answer within 20 seconds'),
                    'Check for a firewall or a proxy (HTTPS_PROXY).', $see)
            }
            if ($cause -ceq 'tls') {
                Stop-Refused @(('no trusted TLS connection to ' + $script:address),
                    'For a private certificate authority, set SSL_CERT_FILE to its file.', $see)
            }
            Stop-Refused @(($script:address + ' cannot be reached'),
                'Check the port, the server, and the proxy (HTTPS_PROXY) if you use one.', $see)
        }
    }
    Read-Json $body
    $said = $script:said
    if ($status -ceq '401') {
        Stop-Refused @(('Langfuse at ' + $script:address + ' refuses the keys (401)'),
            'They belong to another region or project, or were not copied completely.', $said, ('See ' + $pageRefused))
    }
    if ($status -ceq '403') {
        Stop-Refused @("the keys do not belong to a project (403)",
            'Make a pair in the project: Settings, API Keys.', $said, ('See ' + $pageRefused))
    }
    if ($status -cmatch '^(407|429|5..)\z') {
        Stop-Refused @(($script:address + ' answers with status ' + $status),
            'Try again later; 407 means that the proxy requires a password.', $said, ('See ' + $pageUnreachable))
    }
    if (($status -cne '200') -or -not $script:project) {
        Stop-Refused @(($script:address + ' answers, but not as Langfuse does (status ' + $status + ')'),
            'Give the address that the browser shows, up to the host.', ('See ' + $pagePath))
    }
    [Console]::Error.WriteLine('Langfuse at ' + $script:address + ' accepts the keys (project ' + $script:project + ').')
}

# --- Results ---

$ours = '^# Written by codex-langfuse\.|^(export |declare -x |set -gx |\$env:)?' +
    '(LANGFUSE_(PUBLIC_KEY|SECRET_KEY|BASE_URL|HOST)|' + $variable + ')[ =]|^\s*\z'

# Returns a variable as a shell reads it; the usual values need no quotes.
function Get-VariableLine([string]$name, [string]$value) {
    if ($value -cmatch '[^A-Za-z0-9_./:@%+=,-]') { $value = "'" + $value.Replace("'", "'\''") + "'" }
    return $name + '=' + $value + "`n"
}

# Returns the value of a variable in the lines of a key file, or ''.
function Get-VariableIn([string[]]$lines, [string]$name) {
    $value = ''
    foreach ($line in $lines) {
        if ($line -cmatch ('^\s*(export |declare -x |set -gx |\$env:)?' + $name + ' ?[= ] ?(.*?)\s*\z')) { $value = $Matches[2] }
    }
    if ($value -cmatch "^'(.*)'\z") { return $Matches[1].Replace("'\''", "'") }
    if ($value -cmatch '^"(.*)"\z') { return $Matches[1] }
    return $value
}

# Prints the header of the key file as JSON.
function Write-Headers {
    $file = [IO.Path]::Combine($HOME, '.config', 'codex-langfuse', 'env')
    $see = 'See ' + $pageKeys
    $again = 'Make it: generate-langfuse-auth.ps1 -Write ~/.config/codex-langfuse/env'
    if (-not [IO.File]::Exists($file)) { Stop-Refused @(($file + ' is not there. ' + $again), $see) }
    if (-not $onWindows -and ((& /bin/ls -Lld $file) -cnotmatch '^.{4}------')) {
        Stop-Refused @(('others may read ' + $file + '. Run: chmod 600 ' + $file), $see)
    }
    $lines = [IO.File]::ReadAllLines($file)
    $public = Get-VariableIn $lines 'LANGFUSE_PUBLIC_KEY'
    $secret = Get-VariableIn $lines 'LANGFUSE_SECRET_KEY'
    if ($public -and $secret) {
        $encoded = [Convert]::ToBase64String([Text.Encoding]::ASCII.GetBytes($public + ':' + $secret))
    }
    else {
        $encoded = (Get-VariableIn $lines $variable) -creplace '^Authorization=Basic(%20)?', ''
    }
    if ($encoded -cnotmatch '^[A-Za-z0-9+/=]+\z') { Stop-Refused @(($file + ' has no keys. ' + $again), $see) }
    Write-Output ('{"Authorization": "Basic ' + $encoded + '"}')
}

# True if a file holds nothing but what -Write puts there.
function Test-Ours([string]$file) {
    foreach ($line in [IO.File]::ReadAllLines($file)) {
        if ($line -cnotmatch $ours) { return $false }
    }
    return $true
}

# Makes a folder, and those above it, so that only you can look into them.
function New-PrivateFolder([string]$folder) {
    if (-not $folder -or [IO.Directory]::Exists($folder)) { return }
    New-PrivateFolder ([IO.Path]::GetDirectoryName($folder))
    $null = [IO.Directory]::CreateDirectory($folder)
    if (-not $onWindows) { & /bin/chmod 700 $folder }
}

function Protect-File([string]$file) {
    if ($onWindows) {
        $user = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value
        $null = & icacls.exe $file /inheritance:r /grant:r ('*' + $user + ':F')
    }
    else { & /bin/chmod 600 $file }
    if ($LASTEXITCODE -ne 0) { throw 'it cannot be made private' }
}

function Write-PrivateFile([string]$file, [string]$text) {
    $full = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($file)
    $old = Get-Item -LiteralPath $full -Force -ErrorAction SilentlyContinue
    if ($null -ne $old) {
        $link = [bool]($old.Attributes -band [IO.FileAttributes]::ReparsePoint)
        if (($old.PSIsContainer) -or ($link -and -not $Force)) {
            Stop-Refused @($file + ' is not a regular file; nothing was written')
        }
        if (-not $Force -and -not (Test-Ours $full)) {
            Stop-Refused @(($file + ' contains something else; nothing was written'),
                'Choose another file, or add -Force to replace it.')
        }
    }
    $temporary = ''
    try {
        $folder = [IO.Path]::GetDirectoryName($full)
        New-PrivateFolder $folder
        $temporary = [IO.Path]::Combine($folder, 'codex-langfuse.' + [Guid]::NewGuid().ToString('N') + '.tmp')
        [IO.File]::WriteAllText($temporary, '')
        Protect-File $temporary
        [IO.File]::WriteAllText($temporary, ($marker + "`n" + $text), [Text.Encoding]::ASCII)
        Move-Item -LiteralPath $temporary -Destination $full -Force
    }
    catch {
        if ($temporary) { Remove-Item -LiteralPath $temporary -Force -ErrorAction SilentlyContinue }
        Stop-Refused @($file + ' cannot be written: ' + $_.Exception.Message)
    }
}

# --- What was asked for ---

if ($Help -or (@($Region, $BaseUrl, $PublicKey, $Write) + $args) -contains '--help') {
    Write-Output $usage
    exit 0
}
if ($Headers) {
    $others = $Region -or $BaseUrl -or $PublicKey -or $SecretStdin -or $Check -or $Write -or $Quiet -or $args.Count
    if ($others) { Stop-WrongUsage '-Headers takes no other option: it reads the key file' }
    Write-Headers
    exit 0
}
if ($args.Count -gt 0) { Stop-WrongUsage 'an argument that is no option' }
if ($Region -and $BaseUrl) { Stop-WrongUsage 'give -Region or -BaseUrl, not both' }
if ($Force -and -not $Write) { Stop-WrongUsage '-Force goes with -Write' }
if ($Region -and (@('eu', 'us', 'jp', 'hipaa') -cnotcontains $Region)) {
    Stop-WrongUsage 'the regions are eu, us, jp and hipaa'
}
$given = $Region
if (-not $given) { $given = $BaseUrl }
if (-not $given) { $given = [string]$env:LANGFUSE_BASE_URL }
if (-not $given) { $given = [string]$env:LANGFUSE_HOST }
$public = $PublicKey
if (-not $public) { $public = [string]$env:LANGFUSE_PUBLIC_KEY }
$secret = [string]$env:LANGFUSE_SECRET_KEY
if ($SecretStdin) {
    # Depending on how the script is started, the host has read standard input into $input already.
    $piped = @($input)
    if ($piped.Count -gt 0) { $secret = [string]$piped[0] }
    elseif ([Console]::IsInputRedirected) { $secret = [string][Console]::In.ReadLine() }
    else { Stop-WrongUsage '-SecretStdin is for a pipe or a file; without it you are asked for the key' }
}

$interactive = -not $SecretStdin -and -not [Console]::IsInputRedirected
if (-not $interactive) {
    if (-not $given) { Stop-WrongUsage 'no address: give -Region or -BaseUrl, or set LANGFUSE_BASE_URL' }
    if (-not $public) { Stop-WrongUsage 'no public key: give -PublicKey, or set LANGFUSE_PUBLIC_KEY' }
    if (-not $secret -and -not $SecretStdin) {
        Stop-WrongUsage 'no secret key: give -SecretStdin, or set LANGFUSE_SECRET_KEY'
    }
}

if ($given) {
    if (-not (Read-Address $given)) { exit 2 }
}
else { Read-AskedAddress }

if ($public) { $public = Get-TrimmedWithNote 'public key' $public }
if ($secret) { $secret = Get-TrimmedWithNote 'secret key' $secret }
if (-not $AnyKeyForm -and ($public -cmatch '^sk-lf-') -and ($secret -cmatch '^pk-lf-')) {
    Stop-WrongUsage 'the two keys are swapped: the public key begins with pk-lf-, the secret key with sk-lf-' `
        ('See ' + $pageKeys)
}
if ($public -or -not $interactive) {
    $complaint = Get-Complaint 'public key' $public
    if ($complaint) { Stop-WrongUsage $complaint ('See ' + $pageKeys) }
}
else {
    $public = Read-AskedKey 'public key' 'Public key (pk-lf-...): '
    [Console]::Error.WriteLine($public)
}
if ($secret -or -not $interactive) {
    $complaint = Get-Complaint 'secret key' $secret
    if ($complaint) { Stop-WrongUsage $complaint ('See ' + $pageKeys) }
}
else { $secret = Read-AskedKey 'secret key' 'Secret key (sk-lf-..., not shown): ' }

$encoded = [Convert]::ToBase64String([Text.Encoding]::ASCII.GetBytes($public + ':' + $secret))
$line = '$env:' + $variable + ' = "Authorization=Basic%20' + $encoded + '"'

if ($Check) { Test-WithLangfuse $encoded }
$isScript = $Write -match '\.ps1\z'
if ($isScript) { Write-PrivateFile $Write ($line + "`n") }
elseif ($Write) {
    $text = (Get-VariableLine 'LANGFUSE_PUBLIC_KEY' $public) + (Get-VariableLine 'LANGFUSE_SECRET_KEY' $secret) +
        (Get-VariableLine 'LANGFUSE_BASE_URL' $script:address)
    Write-PrivateFile $Write ($text + 'export ' + $variable + '="Authorization=Basic%20' + $encoded + '"' + "`n")
}
if ($Quiet) {
    if (-not $Write) { Write-Output ('Basic ' + $encoded) }
    exit 0
}
if ($Write) {
    $path = $Write
    if ($path -cnotmatch '[/\\]') { $path = './' + $path }
    Write-Output '# 1. The key is in a file that only you can read. Before you start Codex, load it:'
    $quoted = "'" + $path.Replace("'", "''") + "'"
    # The dot takes brackets and the like for a pattern.
    if (-not $isScript) {
        Write-Output ('Get-Content -LiteralPath ' + $quoted + ' | Where-Object { $_ -match ''^export (\w+)="(.*)"$'' } | ' +
            'ForEach-Object { Set-Item ("env:" + $Matches[1]) $Matches[2] }')
    }
    elseif ($path -cmatch '[\[\]*?`]') {
        Write-Output ('. ([scriptblock]::Create((Get-Content -Raw -LiteralPath ' + $quoted + ')))')
    }
    else { Write-Output ('. ' + $quoted) }
}
else {
    Write-Output '# 1. Where you start Codex. The shell keeps this line in its history; the option write does not:'
    Write-Output $line
}
Write-Output ''
Write-Output '# 2. Into ~/.codex/config.toml, in place of any [otel] there:'
Write-Output ('# Codex to Langfuse, traces only: ' + (Get-Place) + '.')
Write-Output $tomlBeforeEndpoint
Write-Output ('endpoint = "' + $script:address + '/api/public/otel/v1/traces"')
Write-Output $tomlAfterEndpoint
Write-Output ''
Write-Output ('# 3. See whether it arrives: ' + $site + '/configuration-only/#verify')
exit 0
