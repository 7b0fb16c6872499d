"""What is shipped in conf/ is taken by httpd: as it is, within Debian's own
configuration, and with every line of the reference switched on."""
import os
import re
import shutil
import subprocess

import pytest

from dp.httpd import PROGRAM, module_dir
from dp.process import built
from dp.shipped import ShippedVhost, shipped

MODULES = ("mpm_event authn_core authz_core authz_host access_compat env "
           "setenvif headers mime alias dir filter ssl socache_shmcb proxy "
           "proxy_http proxy_fcgi remoteip").split()


@pytest.fixture
def check(certificate, tmp_path):
    """check(text): httpd -t of a server with all modules that the examples
    name. @return (exit status, output)"""
    def run(text, what="-t"):
        lines = ['ServerRoot "%s"' % tmp_path, "ServerName main.example.test",
                 'DefaultRuntimeDir "%s"' % tmp_path,
                 'PidFile "%s/pid"' % tmp_path, 'ErrorLog "%s/log"' % tmp_path,
                 "Listen 127.0.0.1:443"]
        lines += ['LoadModule %s_module "%s/mod_%s.so"' % (m, module_dir(), m)
                  for m in MODULES]
        lines.append('LoadModule directpush_module "%s"' % built(
            ".libs", "mod_directpush.so"))
        # what the administrator has instead
        text = re.sub(r"/etc/ssl/certs/ssl-cert-snakeoil\.pem",
                      certificate.cert, text)
        text = re.sub(r"/etc/ssl/private/ssl-cert-snakeoil\.key",
                      certificate.key, text)
        conf = tmp_path / "httpd.conf"
        conf.write_text("\n".join(lines) + "\n" + text)
        done = subprocess.run([PROGRAM, what, "-f", str(conf)], text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        return done.returncode, done.stdout
    return run


@pytest.mark.parametrize("name", ["directpush.conf", "reverse-proxy.conf",
                                  "sogo.conf", "zpush-php-fpm.conf",
                                  "apache-behind-terminator.conf",
                                  "horde.conf", "grommunio-sync.conf",
                                  "directpush-reference.conf"])
def test_a_shipped_file_is_taken(check, name):
    status, output = check(shipped(name))
    assert status == 0, output
    assert output.strip() == "Syntax OK"


@pytest.mark.parametrize("name", ["directpush.conf",
                                  "directpush-reference.conf"])
def test_each_commented_line_would_be_taken_too(check, name):
    """Lines that are switched off by a # without a blank behind it."""
    text = re.sub(r"^( *)#(?=\S|    \S)", r"\1", shipped(name), flags=re.M)
    assert "\nDirectPush" in text and "\n<Location" in text
    status, output = check(text)
    assert status == 0, output


def test_the_reference_has_every_directive_that_the_module_takes(check):
    status, listed = check("", "-L")
    assert status == 0, listed
    taken = set(re.findall(r"^(DirectPush\w*) \(mod_directpush\.c\)", listed,
                           re.M))
    named = set(re.findall(r"^#(DirectPush\w*)",
                           shipped("directpush-reference.conf"), re.M))
    assert taken and taken == named


def test_the_nginx_beside_apache_is_taken_by_nginx(certificate, tmp_path):
    site = shipped("nginx-beside-apache.conf").replace(
        "/etc/ssl/certs/ssl-cert-snakeoil.pem", certificate.cert).replace(
        "/etc/ssl/private/ssl-cert-snakeoil.key", certificate.key)
    conf = tmp_path / "nginx.conf"
    conf.write_text("pid %s/pid; events {} http { access_log off;\n%s}\n"
                    % (tmp_path, site))
    done = subprocess.run(["/usr/sbin/nginx", "-t", "-c", str(conf), "-e",
                           str(tmp_path / "log")], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


def test_the_reverse_proxy_holds_a_ping_and_wakes_it(make_site, certificate):
    site = make_site(start=False)
    site.backend.start()
    site.vhosts = [ShippedVhost(
        "reverse-proxy.conf", certificate,
        (r"127\.0\.0\.1:8080", "127.0.0.1:%d" % site.backend.port))]
    site.start()
    phone, ping = site.held_phone()
    site.mails().deliver("one")
    site.told(phone, ping=ping)
    phone.sync_until_done("INBOX")
    assert phone.subjects() == ["one"]
    site.hold(phone)
    assert site.backend.count(cmd="Ping") == 0


def test_the_load_file_names_the_installed_module():
    line = shipped("directpush.load")
    assert line == ("LoadModule directpush_module "
                    "@HTTPD_MODULEDIR@/mod_directpush.so\n")


@pytest.mark.skipif(not os.path.exists("/etc/apache2/mods-available"),
                    reason="no Debian's apache2 here")
def test_a2enmod_enables_it_in_debians_configuration(tmp_path):
    """Copied, so that the machine's own stays as it is."""
    etc = tmp_path / "apache2"
    shutil.copytree("/etc/apache2", etc, symlinks=True)
    (etc / "mods-available" / "directpush.load").write_text(
        shipped("directpush.load").replace(
            "@HTTPD_MODULEDIR@/mod_directpush.so",
            built(".libs", "mod_directpush.so")))
    (etc / "mods-available" / "directpush.conf").write_text(
        shipped("directpush.conf"))
    env = dict(os.environ, APACHE_CONFDIR=str(etc),
               APACHE_STATE_DIRECTORY=str(tmp_path / "state"))
    subprocess.run(["/usr/sbin/a2enmod", "-q", "directpush"], check=True,
                   env=env)
    assert sorted(n for n in os.listdir(etc / "mods-enabled")
                  if n.startswith("directpush")) == ["directpush.conf",
                                                     "directpush.load"]


def test_the_unit_sees_the_boot_that_apache_sees_and_never_gives_up():
    """In a container these two make /proc/sys anew, with the host's boot_id:
    the bus would be one of another boot to Apache. Without the start limit off,
    half a second of a full disk leaves phones at the fallback interval until
    somebody looks."""
    unit = shipped("directpushd.service.in")
    words = dict(line.split("=", 1) for line in unit.splitlines()
                 if "=" in line and not line.startswith("#"))
    assert not {"ProtectKernelTunables", "ProtectControlGroups",
                "ProtectProc", "ProcSubset"} & set(words)
    assert words["Restart"] == "always"
    assert words["StartLimitIntervalSec"] == "0"
