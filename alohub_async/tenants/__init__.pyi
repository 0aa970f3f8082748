# The public names, and the modules they are in. `__init__.py` reads this file, so each is listed once.
# isort: off
from alohub_async.tenant import Tenant as Tenant, Tenants as Tenants, TenantsFile as TenantsFile
from alohub_async.tenant import read_tenants as read_tenants
from alohub_async.tenants.jobs import OnReport as OnReport
from alohub_async.tenants.report import TenantEntry as TenantEntry, TenantsProgress as TenantsProgress
from alohub_async.tenants.report import TenantsReport as TenantsReport
from alohub_async.tenants.run import OnTenants as OnTenants, Scheduler as Scheduler, TenantsOptions as TenantsOptions
from alohub_async.tenants.run import audit_tenants as audit_tenants, export_tenants as export_tenants
