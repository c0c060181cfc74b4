# SPDX-License-Identifier: Apache-2.0
"""A domain's XML as libvirt prints it for a Nova server, to be changed by tests."""

from __future__ import annotations

XML = """<domain type='kvm'>
  <name>instance-00000001</name>
  <uuid>4a3f1f0e-97f8-4f0e-9a51-7a5d8c5f0a11</uuid>
  <metadata>
    <nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1"><nova:name>vm</nova:name></nova:instance>
  </metadata>
  <memory unit='KiB'>131072</memory>
  <currentMemory unit='KiB'>131072</currentMemory>
  <vcpu placement='static'>2</vcpu>
  <sysinfo type='smbios'>
    <system>
      <entry name='manufacturer'>OpenStack Foundation</entry>
      <entry name='product'>OpenStack Nova</entry>
      <entry name='version'>34.0.0</entry>
      <entry name='uuid'>4a3f1f0e-97f8-4f0e-9a51-7a5d8c5f0a11</entry>
    </system>
  </sysinfo>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><boot dev='hd'/><smbios mode='sysinfo'/></os>
  <features><acpi/><apic/><vmcoreinfo state='on'/></features>
  <cpu mode='custom' match='exact' check='full'>
    <model fallback='forbid'>Nehalem</model><topology sockets='2' dies='1' cores='1' threads='1'/>
    <feature policy='require' name='vme'/>
  </cpu>
  <clock offset='utc'><timer name='hpet' present='no'/><timer name='pit' tickpolicy='delay'/></clock>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='none' io='native'/>
      <source file='/var/lib/nova/mnt/x/volume-1' index='1'>
        <encryption format='luks'>
          <secret type='passphrase' uuid='0d1f7f0e-97f8-4f0e-9a51-7a5d8c5f0a11'/>
        </encryption>
      </source>
      <blockio logical_block_size='512' physical_block_size='4096'/>
      <target dev='vda' bus='virtio'/>
      <serial>7c9b1f0e-97f8-4f0e-9a51-7a5d8c5f0a11</serial>
      <alias name='virtio-disk0'/>
    </disk>
    <interface type='bridge'>
      <mac address='fa:16:3e:00:00:01'/><source bridge='br-int'/><model type='virtio'/><mtu size='1450'/>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </interface>
    <controller type='pci' index='0' model='pcie-root'/>
    <controller type='pci' index='1' model='pcie-root-port'/>
    <controller type='pci' index='2' model='pcie-root-port'/>
    <controller type='usb' index='0' model='none'/>
    <serial type='pty'><target type='isa-serial' port='0'/></serial>
    <channel type='unix'><target type='virtio'/>
      <address type='virtio-serial' controller='0' bus='0' port='1'/></channel>
    <console type='pty'><target type='serial' port='0'/></console>
    <input type='mouse' bus='ps2'/>
    <input type='keyboard' bus='ps2'/>
    <graphics type='vnc' port='-1'/>
    <video><model type='virtio' heads='1' primary='yes'/></video>
    <memballoon model='virtio'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend>
      <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/></rng>
  </devices>
</domain>"""


def with_device(device: str) -> str:
    return XML.replace("<memballoon", f"{device}<memballoon")
