# The relay as a task of one user, under Windows: it starts when you log on, and again when it fails. It has no
# window; `codex-langfuse relay --status` names the file that it logs to.
#
# It reads the key file. Make it first:
#
#   codex-langfuse auth --write $HOME/.config/codex-langfuse/env
#
# Then run this script in PowerShell. To take it back:
#
#   Stop-ScheduledTask -TaskName codex-langfuse-relay
#   Unregister-ScheduledTask -TaskName codex-langfuse-relay -Confirm:$false

$ErrorActionPreference = 'Stop'

$keys = Join-Path $HOME '.config/codex-langfuse/env'
if (-not (Test-Path $keys)) {
    throw "There is no $keys. Make it: codex-langfuse auth --write $keys"
}

# A program without a console: closing a window cannot end it.
$program = (Get-Command codex-langfuse-relay).Source
$action = New-ScheduledTaskAction -Execute $program
$trigger = New-ScheduledTaskTrigger -AtLogOn -User "${env:USERDOMAIN}\${env:USERNAME}"
# Not ended after three days, as tasks are by default, nor on battery.
$settings = New-ScheduledTaskSettingsSet -ExecutionTimeLimit ([TimeSpan]::Zero) `
    -RestartCount 999 -RestartInterval (New-TimeSpan -Minutes 1) `
    -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries
Register-ScheduledTask -TaskName codex-langfuse-relay -Action $action -Trigger $trigger -Settings $settings `
    -Description "Codex's telemetry to Langfuse" -Force | Out-Null
Start-ScheduledTask -TaskName codex-langfuse-relay

codex-langfuse relay --status
