# The relay as a task of one user, under Windows: it starts when you log on, and again when it fails.
#
# Put these lines into %LOCALAPPDATA%\codex-langfuse\relay.env, a file that only you may read:
#
#   LANGFUSE_PUBLIC_KEY=pk-lf-...
#   LANGFUSE_SECRET_KEY=sk-lf-...
#   LANGFUSE_BASE_URL=https://cloud.langfuse.com
#
# Then run this script in PowerShell. To take it back:
#
#   Stop-ScheduledTask -TaskName codex-langfuse-relay
#   Unregister-ScheduledTask -TaskName codex-langfuse-relay -Confirm:$false

$ErrorActionPreference = 'Stop'

$folder = Join-Path $env:LOCALAPPDATA 'codex-langfuse'
$credentials = Join-Path $folder 'relay.env'
if (-not (Test-Path $credentials)) {
    throw "There is no $credentials."
}
icacls $credentials /inheritance:r /grant:r "${env:USERDOMAIN}\${env:USERNAME}:F" | Out-Null

$program = (Get-Command codex-langfuse).Source
$action = New-ScheduledTaskAction -Execute $program -Argument "relay --credentials `"$credentials`""
$trigger = New-ScheduledTaskTrigger -AtLogOn -User "${env:USERDOMAIN}\${env:USERNAME}"
# Not ended after three days, as tasks are by default; not for want of mains either.
$settings = New-ScheduledTaskSettingsSet -ExecutionTimeLimit ([TimeSpan]::Zero) `
    -RestartCount 999 -RestartInterval (New-TimeSpan -Minutes 1) `
    -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries
Register-ScheduledTask -TaskName codex-langfuse-relay -Action $action -Trigger $trigger -Settings $settings `
    -Description "Codex's telemetry to Langfuse" -Force | Out-Null
Start-ScheduledTask -TaskName codex-langfuse-relay

codex-langfuse relay --status
